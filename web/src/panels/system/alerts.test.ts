import { describe, expect, it } from "vitest";
import { sentenceOf, severityOf } from "./alerts";

describe("alerts", () => {
  it("says that nothing fires only where rules are evaluated", () => {
    expect(sentenceOf({ status: "ok" })).toBe("No alert fires.");
    for (const status of ["not_evaluated", "unreachable", "unknown", "off"] as const) {
      expect(sentenceOf({ status })).not.toContain("No alert fires");
    }
  });

  it("says how soon somebody is needed", () => {
    expect(severityOf({ severity: "page" })).toBe("Needs somebody now");
    expect(severityOf({ severity: "ticket" })).toBe("Needs somebody within days");
    expect(severityOf({ severity: "" })).toBe("For information");
  });
});
