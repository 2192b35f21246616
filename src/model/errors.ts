// The few ways a request can fail, each with words for people.

/** Something the caller sent is wrong. `path` names the field (`address`, `lan.dhcp.from`); nothing was changed. */
export class InvalidInput extends Error {
  override readonly name = 'InvalidInput';
  readonly path: string;
  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
  /** The same problem seen from one level further out. */
  under(parent: string): InvalidInput {
    return new InvalidInput(this.path === '' ? parent : `${parent}.${this.path}`, this.message);
  }
}

/** The request is well formed but contradicts the present state: a stale revision, a name in use, a limit reached. */
export class Conflict extends Error {
  override readonly name = 'Conflict';
  readonly path: string;
  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

export class NotFound extends Error {
  override readonly name = 'NotFound';
  readonly path: string;
  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

export class Forbidden extends Error {
  override readonly name = 'Forbidden';
  /** `password`: it has to be given again first. */
  readonly path: string;
  constructor(message: string, path = '') {
    super(message);
    this.path = path;
  }
}

/** Nobody is signed in, or no longer, or what was shown is wrong. */
export class Unauthorized extends Error {
  override readonly name = 'Unauthorized';
  /** `code`: the password is right, and a second factor is wanted. */
  readonly path: string;
  constructor(message: string, path = '') {
    super(message);
    this.path = path;
  }
}

/** Too many attempts. */
export class TooMany extends Error {
  override readonly name = 'TooMany';
  readonly path = '';
  /** Seconds until the next attempt is looked at. */
  readonly retryAfter: number;
  constructor(message: string, retryAfter: number) {
    super(message);
    this.retryAfter = retryAfter;
  }
}
