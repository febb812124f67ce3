import { useEffect, useRef, useState, type SubmitEvent } from "react";
import { api } from "../../api/client";
import { useSession } from "../../live/SessionContext";
import { Button } from "../../ui/Button";
import { Field } from "../../ui/Field";
import styles from "./Models.module.css";

interface ActivationProps {
  version: string;
  /** Whether it is the one that was live before. */
  back: boolean;
  onClose: (activated: boolean) => void;
}

/** Asks whether a model is to be served from now on. Where nobody is logged in it needs the admin's token, which is not kept. */
export function Activation({ version, back, onClose }: ActivationProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const needsToken = !useSession().closed;
  const [token, setToken] = useState("");
  const [note, setNote] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);

  const activate = async (): Promise<void> => {
    setBusy(true);
    try {
      await api.activate(version, needsToken ? token : null, note);
      onClose(true);
    } catch (error) {
      setProblem((error as Error).message);
      setBusy(false);
    }
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    void activate();
  };
  return (
    <dialog
      ref={dialog}
      className={styles.dialog}
      aria-labelledby="activation"
      onClose={() => {
        onClose(false);
      }}
    >
      <form onSubmit={submit} className={styles.form}>
        <h2 id="activation">{back ? "Roll back to this model?" : "Activate this model?"}</h2>
        <p>
          The recommender will answer from <span className="id">{version}</span> within seconds. The other models stay and can
          be activated again.
        </p>
        <Field name="Reason (stored with the model)">
          <input
            type="text"
            maxLength={500}
            value={note}
            onChange={(event) => {
              setNote(event.target.value);
            }}
          />
        </Field>
        {needsToken && (
          <Field name="Admin token">
            <input
              type="password"
              required
              autoComplete="off"
              value={token}
              onChange={(event) => {
                setToken(event.target.value);
              }}
            />
          </Field>
        )}
        {problem !== null && (
          <p role="alert" className={styles.problem}>
            {problem}
          </p>
        )}
        <div className={styles.buttons}>
          <Button
            onClick={() => {
              onClose(false);
            }}
          >
            Cancel
          </Button>
          <Button type="submit" disabled={busy}>
            {back ? "Roll back" : "Activate"}
          </Button>
        </div>
      </form>
    </dialog>
  );
}
