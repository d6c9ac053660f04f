package provenance

import "strings"

// Shared tells whether a registry's host is one that unrelated organisations
// keep their images at, each under a namespace of its own. Nobody speaks for all
// of it. The list is of public services and is part of the contract.
func Shared(h Host) bool {
	switch h {
	case "docker.io", "ghcr.io", "quay.io", "gcr.io", "us.gcr.io", "eu.gcr.io", "asia.gcr.io", "registry.gitlab.com", "public.ecr.aws",
		"registry.k8s.io", "mcr.microsoft.com", "cgr.dev", "codeberg.org", "registry.access.redhat.com", "registry.redhat.io", "icr.io", "lscr.io", "nvcr.io", "container-registry.oracle.com":
		return true
	}
	return strings.HasSuffix(string(h), ".pkg.dev") || strings.HasSuffix(string(h), ".icr.io") || strings.HasSuffix(string(h), ".ocir.io")
}
