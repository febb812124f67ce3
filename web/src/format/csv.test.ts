import { expect, it } from "vitest";
import { toCsv } from "./csv";

it("quotes what needs it and keeps ids and money as they are", () => {
  const rows = [
    ["9223372036854775807", "-1234.50", 3],
    ['quo"te, inc', "two\nlines", null],
  ];
  expect(toCsv(["id", "revenue", "pieces"], rows)).toBe(
    'id,revenue,pieces\r\n9223372036854775807,-1234.50,3\r\n"quo""te, inc","two\nlines",\r\n',
  );
});

it("of no rows is its header", () => {
  expect(toCsv(["id"], [])).toBe("id\r\n");
});

it.each(['=HYPERLINK("http://evil.example")', "+1+cmd", "-2+3", "@SUM(A1)", "\tx", "\rx", "-"])(
  "hands %j to a spreadsheet as text",
  (name) => {
    expect(toCsv(["name"], [[name]]).replaceAll('"', "").split("\r\n")[1]?.startsWith("'") ?? false).toBe(true);
  },
);
