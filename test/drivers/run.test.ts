// Running programs: exit status, what they say, input larger than a pipe, programs that are not there or do not end.
import { describe, expect, it } from 'vitest';
import { ProgramFailed, run } from '../../src/router/drivers/run.ts';

const node = (script: string, input = '', timeout?: number) => run(process.execPath, ['-e', script], input, timeout);

describe('run', () => {
  it('gives back what the program wrote', async () => {
    expect(await run('cat', [], 'ümlaut\n')).toBe('ümlaut\n');
    expect(await run('printf', ['%s', '$HOME `id` ; rm'])).toBe('$HOME `id` ; rm');
  });

  it('carries megabytes both ways', async () => {
    const input = 'line of text\n'.repeat(400_000);
    expect(await run('cat', [], input)).toBe(input);
  });

  it('fails with the exit status and the words of the program', async () => {
    const failing = node('process.stderr.write("no such table\\n"); process.exit(3)');
    await expect(failing).rejects.toThrow(ProgramFailed);
    await expect(node('process.stderr.write("no such table\\n"); process.exit(3)')).rejects.toThrow(
      /exit 3: no such table$/,
    );
  });

  it('keeps what the program says short', async () => {
    const error = await node('process.stderr.write("x".repeat(1e6)); process.exitCode = 1').catch(
      (caught: Error) => caught,
    );
    expect((error as Error).message.length).toBeLessThan(2200);
  });

  it('survives a program that does not read its input', async () => {
    await expect(run('false', [], 'x'.repeat(10_000_000))).rejects.toThrow('exit 1');
    expect(await run('true', [], 'x'.repeat(10_000_000))).toBe('');
  });

  it('fails when there is no such program', async () => {
    await expect(run('/nonexistent/program', [], 'input')).rejects.toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });

  it('ends a program that takes too long', async () => {
    await expect(run('sleep', ['60'], '', 50)).rejects.toThrow('SIGTERM');
  });
});
