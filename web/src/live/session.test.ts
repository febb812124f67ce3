import { describe, expect, it } from "vitest";
import type { Access } from "../api/types";
import { failureOf, obstacleOf, sessionOf, UNKNOWN } from "./session";

const session = (role: "viewer" | "sender" | null, may: Access[], login = true) =>
  sessionOf({ closed: true, login, name: role, role, may });

describe("obstacleOf", () => {
  it("asks who is there, where a login exists", () => {
    expect(obstacleOf(session(null, ["public"]))).toBe("login");
    expect(obstacleOf(session(null, ["public"], false))).toBe("no_login");
  });

  it("lets through who may see figures, and everybody where the gateway is open", () => {
    expect(obstacleOf(session("viewer", ["public", "figures"]))).toBeNull();
    expect(obstacleOf(session("sender", ["public", "events"]))).toBe("role");
    expect(obstacleOf(UNKNOWN)).toBeNull();
  });
});

describe("failureOf", () => {
  it("has a sentence for each outcome, and says nothing of any other text", () => {
    for (const code of ["expired", "denied", "refused", "no_role", "away", "too_many"]) expect(failureOf(code)).toMatch(/\.$/);
    expect(failureOf("<b>call 555</b>")).toBeNull();
    expect(failureOf(null)).toBeNull();
  });
});
