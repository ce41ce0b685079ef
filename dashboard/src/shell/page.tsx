import { type ComponentType, createElement, useEffect, useState } from "react";
import { Loading } from "../parts/Loading";
import { Unreached } from "./Failure";

/** A page whose code didn't come is asked for again after so many milliseconds. */
const AGAIN = 3000;
/** Pages are fetched ahead so long (milliseconds) after the first one has been shown. */
const AHEAD = 2000;

const waiting: (() => Promise<unknown>)[] = [];

/**
 * A page whose code is fetched when it is opened, or *ahead* of it: then it opens at once, and opens while the cloud that
 * serves the dashboard doesn't answer. What can't be fetched is asked for until it comes.
 */
export function page<K extends string>(load: () => Promise<Record<K, ComponentType>>, name: K, ahead = true): ComponentType {
  let found: ComponentType | null = null;
  const fetch = () => load().then((module) => { found = module[name]; });
  if (ahead) waiting.push(fetch);
  return function Fetched() {
    const [failed, setFailed] = useState(false);
    const [tries, setTries] = useState(0);
    useEffect(() => {
      if (found) return undefined;
      let left = false;
      let timer: ReturnType<typeof setTimeout> | undefined;
      fetch().catch(() => setFailed(true)).finally(() => {
        if (left) return;
        if (found) setTries(tries + 1);
        else timer = setTimeout(() => setTries(tries + 1), AGAIN);
      });
      return () => {
        left = true;
        clearTimeout(timer);
      };
    }, [tries]);
    if (found) return createElement(found);
    return failed ? <Unreached retry={() => setTries(tries + 1)} /> : <Loading />;
  };
}

/** Fetch what hasn't been yet, one after another, when there is nothing else to do; what fails comes when it is opened. */
export function fetchAhead(): () => void {
  let stopped = false;
  const timer = setTimeout(async () => {
    for (let one = waiting.shift(); one && !stopped; one = waiting.shift()) await one().catch(() => undefined);
  }, AHEAD);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
