import type { Access, SessionState } from "../api/types";

/** Who looks at the page, and what they may see. */
export interface Session {
  /** Whether the gateway asks who is there. */
  closed: boolean;
  /** Whether persons can log in. */
  login: boolean;
  name: string | null;
  role: string | null;
  may: ReadonlySet<Access>;
}

const ALL: readonly Access[] = ["figures", "persons", "recommendations", "similar_products"];

/** While the gateway does not say: its routes refuse what they have to. */
export const UNKNOWN: Session = { closed: false, login: false, name: null, role: null, may: new Set(ALL) };

export const sessionOf = (state: SessionState): Session => ({ ...state, may: new Set(state.may) });

/** What stands in the way of the page, if anything. */
export type Obstacle = "login" | "no_login" | "role";

export function obstacleOf({ closed, login, role, may }: Session): Obstacle | null {
  if (closed && role === null) return login ? "login" : "no_login";
  return may.has("figures") ? null : "role";
}

const SENTENCES: Record<string, string> = {
  expired: "That login has expired or was not begun in this browser. Log in again.",
  denied: "The login was cancelled.",
  refused: "The login provider’s answer is not valid. Log in again; if that repeats, the gateway’s log says why.",
  no_role: "Your account has no role here. Ask whoever runs Tillstream to give one of your groups a role.",
  away: "The login is not available at the moment. Try again in a minute.",
  too_many: "Too many logins have failed. Try again in a minute.",
};

/** What a failed attempt to log in says, by its code in the address. */
export const failureOf = (code: string | null): string | null => (code === null ? null : (SENTENCES[code] ?? null));
