import { allServers } from "../servers/all";
import { guestOf } from "./crowd";

/** All servers of the project, as the drawing needs them. */
export const useGuests = allServers("topology", "/servers/detail", guestOf, (all) => all);
