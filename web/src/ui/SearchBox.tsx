import { useDeferredValue, useId, useState, type KeyboardEvent, type SubmitEvent } from "react";
import { useQuery } from "../live/useQuery";
import { Button } from "./Button";
import { SearchIcon } from "./icons";
import styles from "./SearchBox.module.css";

const NOTHING = -1;

export interface Suggestion {
  id: string;
  /** What it is called, where it has a name besides its id. */
  title?: string;
}

interface SearchBoxProps {
  name: string;
  placeholder: string;
  /** What is suggested, e.g. "Customers". */
  listName: string;
  action: string;
  suggest: (text: string, signal: AbortSignal) => Promise<readonly Suggestion[]>;
  onChoose: (id: string) => void;
  /** What is typed, where no suggestion was picked; taken as an id unless told otherwise. */
  onTyped?: (text: string) => void;
}

/** A box for an id that suggests real ones from the first moment on (an ARIA combobox). */
export function SearchBox({ name, placeholder, listName, action, suggest, onChoose, onTyped = onChoose }: SearchBoxProps) {
  const [text, setText] = useState("");
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(NOTHING);
  const listId = useId();
  const wanted = useDeferredValue(text.trim());
  const { data: suggestions = [] } = useQuery(`${listName}:${wanted}`, (signal) => suggest(wanted, signal));
  const shown = open && suggestions.length > 0;

  const clear = (): void => {
    setText("");
    setOpen(false);
    setActive(NOTHING);
  };
  const choose = (id: string): void => {
    clear();
    onChoose(id);
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const picked = shown ? suggestions[active] : undefined;
    const typed = text.trim();
    if (picked !== undefined) choose(picked.id);
    else if (typed !== "") {
      clear();
      onTyped(typed);
    }
  };
  const move = (step: number): void => {
    setOpen(true);
    setActive((index) => stepThrough(index, step, suggestions.length));
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Escape") setOpen(false);
    else if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else return;
    event.preventDefault();
  };

  return (
    <form className={styles.search} role="search" aria-label={listName} onSubmit={submit}>
      <label className={styles.box}>
        <span className="visually-hidden">{name}</span>
        <SearchIcon />
        <input
          type="text"
          role="combobox"
          autoComplete="off"
          spellCheck={false}
          placeholder={placeholder}
          maxLength={128}
          value={text}
          aria-expanded={shown}
          aria-controls={listId}
          aria-autocomplete="list"
          aria-activedescendant={shown && active !== NOTHING ? `${listId}-${active}` : undefined}
          onChange={(event) => {
            setText(event.target.value);
            setOpen(true);
            setActive(NOTHING);
          }}
          onFocus={() => {
            setOpen(true);
          }}
          onBlur={() => {
            setOpen(false);
          }}
          onKeyDown={onKeyDown}
        />
      </label>
      <Button type="submit">{action}</Button>
      <ul id={listId} role="listbox" aria-label={listName} className={styles.list} hidden={!shown}>
        {suggestions.map(({ id, title }, index) => (
          <li
            key={id}
            id={`${listId}-${index}`}
            role="option"
            aria-selected={index === active}
            className={styles.option}
            // The box would lose the focus, and the list with it, before a click is complete.
            onMouseDown={(event) => {
              event.preventDefault();
            }}
            onClick={() => {
              choose(id);
            }}
          >
            {title !== undefined && <span>{title} </span>}
            <span className="id">{id}</span>
          </li>
        ))}
      </ul>
    </form>
  );
}

/** The next place in a list of `count`, with one more between its end and its start: the typed text itself. */
function stepThrough(index: number, step: number, count: number): number {
  const places = count + 1;
  return ((index - NOTHING + step + places) % places) + NOTHING;
}
