// Reads a JSON request body strictly: no repeated names, no `__proto__`, no deep nesting.
import { InvalidInput } from '../../model/errors.ts';

const deepest = 20;

/** @throws InvalidInput */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidInput('', 'The request is not JSON.');
  }
  // Only now: on text that is not JSON the search for strings could take time by the square of its length.
  checkShape(text);
  return value;
}

/** Finds what JSON.parse lets pass. Looks at strings and brackets only. */
function checkShape(text: string): void {
  const names: (Set<string> | null)[] = [];
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/gs;
  let previous: string | null = null;
  for (const { 0: token } of text.matchAll(tokens)) {
    if (token === '{' || token === '[') {
      names.push(token === '{' ? new Set() : null);
      if (names.length > deepest) throw new InvalidInput('', 'The request is nested too deeply.');
    } else if (token === '}' || token === ']') {
      names.pop();
    } else if (token === ':' && previous !== null) {
      checkName(previous, names.at(-1));
    }
    previous = token.startsWith('"') ? token : null;
  }
}

function checkName(quoted: string, seen: Set<string> | null | undefined): void {
  if (seen == null) return;
  const name = JSON.parse(quoted) as string;
  if (name === '__proto__') throw new InvalidInput(name, 'There is no such field.');
  if (seen.has(name)) throw new InvalidInput(name, 'This field is there twice.');
  seen.add(name);
}
