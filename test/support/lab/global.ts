// vitest's global set-up of ring 2: starts the lab, or uses the one named by TEST_LAB, which then is left running.
import type { TestProject } from 'vitest/node';
import { startLab } from './up.ts';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const existing = process.env['TEST_LAB'];
  if (existing !== undefined) {
    project.provide('lab', existing);
    return async () => {};
  }
  const lab = await startLab({ name: `t${process.pid}`, uplink: true });
  project.provide('lab', lab.name);
  return () => lab.stop();
}
