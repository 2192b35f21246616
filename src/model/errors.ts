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
  readonly path = '';
}
