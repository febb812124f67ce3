import { useState } from "react";
import { api } from "../api/client";
import { useSession } from "../live/SessionContext";
import { Button } from "../ui/Button";
import styles from "./Identity.module.css";

/** Who is logged in, with which role, and the way out. Nothing where the gateway asks nobody. */
export function Identity() {
  const { name, role, login } = useSession();
  if (name === null) return null;
  return (
    <div className={styles.identity} data-testid="identity">
      <span className={styles.who} title={`${name}, ${role ?? ""}`}>
        <span className={styles.name}>{name}</span>
        <span className={styles.role}>{role}</span>
      </span>
      {login && <LogoutButton />}
    </div>
  );
}

export function LogoutButton() {
  const [failed, setFailed] = useState(false);
  const logout = async (): Promise<void> => {
    try {
      await api.logout();
      window.location.assign("/");
    } catch {
      setFailed(true);
    }
  };
  return <Button onClick={() => void logout()}>{failed ? "Not logged out: try again" : "Log out"}</Button>;
}
