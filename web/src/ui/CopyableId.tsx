import { useEffect, useState } from "react";
import { IconButton } from "./Button";
import { CheckIcon, CopyIcon } from "./icons";
import styles from "./CopyableId.module.css";

/** An id, whole, with a button that copies it. */
export function CopyableId({ id, what }: { id: string; what: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => {
      setCopied(false);
    }, 1_500);
    return () => {
      clearTimeout(timer);
    };
  }, [copied]);

  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(id);
    setCopied(true);
  };
  return (
    <span className={styles.copyable}>
      <span className="id" data-testid={what}>
        {id}
      </span>
      <IconButton label={copied ? "Copied" : `Copy ${what}`} onClick={() => void copy()}>
        {copied ? <CheckIcon /> : <CopyIcon />}
      </IconButton>
    </span>
  );
}
