import { useCopied } from "./useCopied";
import { IconButton } from "./Button";
import { CheckIcon, CopyIcon } from "./icons";
import styles from "./CopyableId.module.css";

/** An id, whole, with a button that copies it. */
export function CopyableId({ id, what }: { id: string; what: string }) {
  const [copied, copy] = useCopied();
  return (
    <span className={styles.copyable}>
      <span className="id" data-testid={what}>
        {id}
      </span>
      <IconButton
        label={copied ? "Copied" : `Copy ${what}`}
        onClick={() => {
          copy(id);
        }}
      >
        {copied ? <CheckIcon /> : <CopyIcon />}
      </IconButton>
    </span>
  );
}
