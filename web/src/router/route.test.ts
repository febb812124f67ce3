import { describe, expect, it } from "vitest";
import { customerPath, productPath, routeOf } from "./route";

describe("routeOf", () => {
  it.each([
    ["/", { view: "now" }],
    ["/sales", { view: "sales" }],
    ["/sales/", { view: "sales" }],
    ["/customers", { view: "customers", id: null }],
    ["/customers/1515915625441993984", { view: "customers", id: "1515915625441993984" }],
    ["/sales/today", { view: "nowhere" }],
    ["/customers/%FF", { view: "nowhere" }],
    ["/constructor", { view: "nowhere" }],
  ])("%s", (path, route) => {
    expect(routeOf(path)).toEqual(route);
  });

  it.each(["9223372036854775807", "a/b c", "ключ", "50%", "a.b", "?x=1#y"])("finds the id %s again", (id) => {
    expect(routeOf(customerPath(id))).toEqual({ view: "customers", id });
    expect(routeOf(productPath(id))).toEqual({ view: "products", id });
  });
});
