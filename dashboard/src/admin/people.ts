import { useQuery } from "@tanstack/react-query";
import { identity } from "../api/http";

export interface Project { id: string; name: string; description: string; enabled: boolean; domain_id: string }
export interface User { id: string; name: string; email?: string; enabled: boolean; domain_id: string; description?: string }
export interface Role { id: string; name: string }

export function useProjects() {
  return useQuery({ queryKey: ["projects", "list"], queryFn: () => identity.get<{ projects: Project[] }>("/projects").then((body) => body.projects) });
}

export function useUsers() {
  return useQuery({ queryKey: ["users", "list"], queryFn: () => identity.get<{ users: User[] }>("/users").then((body) => body.users) });
}
