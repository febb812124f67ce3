import { Component, type ReactNode } from "react";
import { Button } from "./Button";
import { Empty } from "./Panel";

interface Props {
  children: ReactNode;
}

/** What is shown where a view cannot be drawn, e.g. because its script could not be loaded. */
export class ViewBoundary extends Component<Props, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError = () => ({ failed: true });

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <Empty>
        <p role="alert">This part of the page could not be loaded.</p>
        <Button
          onClick={() => {
            window.location.reload();
          }}
        >
          Load the page again
        </Button>
      </Empty>
    );
  }
}
