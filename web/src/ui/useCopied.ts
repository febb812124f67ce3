import { useCallback, useEffect, useState } from "react";

/** Copies a text to the clipboard, and says for a moment that it has. */
export function useCopied(): [copied: boolean, copy: (text: string) => void] {
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

  const copy = useCallback((text: string): void => {
    void navigator.clipboard.writeText(text).then(() => {
      setCopied(true);
    });
  }, []);
  return [copied, copy];
}
