// Server-sent events, read by hand: heartbeats count as a sign of life, which EventSource does not show.

export interface StreamEvent {
  readonly name: string;
  readonly data: string;
}

/** A parser that is fed text as it comes (WHATWG HTML §9.2.6) and gives the events that are complete. */
export function createEventParser(): (text: string) => readonly StreamEvent[] {
  let rest = '';
  let name = '';
  let data: string[] = [];
  return (text) => {
    const events: StreamEvent[] = [];
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) events.push({ name: name === '' ? 'message' : name, data: data.join('\n') });
        name = '';
        data = [];
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'event') name = value;
      else if (field === 'data') data.push(value);
    }
    return events;
  };
}
