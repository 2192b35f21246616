// Why the store cannot be used at all; the router then keeps everything shut and says so.

export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
  /** The condition's code. */
  readonly code: 'store-unreadable' | 'store-newer' | 'store-locked' | 'store-write';
  readonly remedy: string;
  constructor(code: StoreUnavailable['code'], message: string, options: { remedy: string; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy;
  }
}
