import { expect, it } from "vitest";
import { modelTime } from "./time";

it("reads the training time out of a model's version", () => {
  expect(modelTime("20261122T225512Z-a1b2c3")?.toISOString()).toBe("2026-11-22T22:55:12.000Z");
  expect(modelTime("hand-made")).toBeNull();
});
