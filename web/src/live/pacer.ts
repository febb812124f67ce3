/**
 * Brings arrivals to the screen at a pace an eye can follow. Bursts wait in a short queue; where purchases come
 * quicker than they can be shown, only the newest goes on and the others are passed over: what is shown is then a
 * sample, and as fresh as it can be.
 */
export class Pacer<T> {
  private waiting: T[] = [];
  private passed = 0;

  constructor(private readonly capacity: number) {}

  /** How many were never shown since the start. */
  get passedOver(): number {
    return this.passed;
  }

  push(arrivals: readonly T[]): void {
    const all = [...this.waiting, ...arrivals];
    this.waiting = all.length > this.capacity ? all.slice(-1) : all;
    this.passed += all.length - this.waiting.length;
  }

  /** The next `count` arrivals, oldest first. */
  take(count: number): T[] {
    return this.waiting.splice(0, count);
  }
}
