package provenance

import (
	"net"
	"regexp"
	"strconv"
	"strings"
)

// Host is a registry's canonical name: a lower-case DNS name or IP address,
// with a port where it is not the scheme's own.
type Host string

// Repository is a path inside a registry, without the host
// (OCI distribution specification, "Pulling manifests", <name>).
type Repository string

// Tag is a mutable name of an image in a repository (same source, <reference>).
type Tag string

// Limits of the names, in bytes.
const (
	maxHost       = 255
	maxRepository = 255
	maxTag        = 128
)

// The grammars are the OCI distribution specification's; Go's regexp is RE2,
// linear in its input.
var (
	hostName       = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]*$`)
)

// artifactTag is a tag under which something about an image is kept: cosign's
// (sigstore/cosign, specs/SIGNATURE_SPEC.md and SBOM_SPEC.md), and without a
// suffix the index of referrers (OCI distribution specification, "Referrers Tag Schema").
var artifactTag = regexp.MustCompile(`^sha256-([0-9a-f]{64})(\.sig|\.att|\.sbom)?$`)

// Subject returns the image that the tag's name says the tagged is about.
func (t Tag) Subject() (subject Digest, ok bool) {
	m := artifactTag.FindStringSubmatch(string(t))
	if m == nil {
		return Digest{}, false
	}
	subject, err := ParseDigest("sha256:" + m[1])
	return subject, err == nil
}

// ParseHost reads a registry host. Docker Hub's aliases become "docker.io".
func ParseHost(s string) (Host, error) {
	s = strings.ToLower(s)
	if s == "index.docker.io" || s == "registry-1.docker.io" {
		return "docker.io", nil
	}
	if len(s) == 0 || len(s) > maxHost {
		return "", Errorf(Invalid, "registry host %q: want 1 to %d characters", clip(s), maxHost)
	}
	name := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		port, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || port == 0 || strconv.FormatUint(port, 10) != s[i+1:] {
			return "", Errorf(Invalid, "registry host %q: the port is not a number from 1 to 65535", clip(s))
		}
		name = s[:i]
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		if ip := net.ParseIP(name[1 : len(name)-1]); ip == nil || ip.To4() != nil || ip.String() != name[1:len(name)-1] {
			return "", Errorf(Invalid, "registry host %q: not a canonical IPv6 address", clip(s))
		}
		return Host(s), nil
	}
	if !hostName.MatchString(name) {
		return "", Errorf(Invalid, "registry host %q: want host or host:port", clip(s))
	}
	return Host(s), nil
}

// ParseRepository reads a repository path. Upper case is refused, not folded:
// a registry would treat it as another name.
func ParseRepository(s string) (Repository, error) {
	if len(s) == 0 || len(s) > maxRepository || !repositoryName.MatchString(s) {
		return "", Errorf(Invalid, "repository %q: want lower-case path components of at most %d characters", clip(s), maxRepository)
	}
	return Repository(s), nil
}

// ParseTag reads a tag.
func ParseTag(s string) (Tag, error) {
	if len(s) == 0 || len(s) > maxTag || !tagName.MatchString(s) {
		return "", Errorf(Invalid, "tag %q: want letters, digits, '_', '.', '-' and at most %d characters", clip(s), maxTag)
	}
	return Tag(s), nil
}

// Reference names an image as people write it: host/repository with a tag, a
// digest, or both. Where both are given the digest decides.
type Reference struct {
	Host       Host
	Repository Repository
	Tag        Tag
	Digest     Digest
}

// ParseReference reads "host/repo:tag", "host/repo@digest" or
// "host/repo:tag@digest". The host is never implied: a reference on a shared
// ledger means the same to everybody.
func ParseReference(s string) (Reference, error) {
	var ref Reference
	var err error
	rest := s
	if i := strings.IndexByte(rest, '@'); i >= 0 {
		if ref.Digest, err = ParseDigest(rest[i+1:]); err != nil {
			return Reference{}, err
		}
		rest = rest[:i]
	}
	slash := strings.IndexByte(rest, '/')
	if slash < 0 || !(strings.ContainsAny(rest[:slash], ".:") || rest[:slash] == "localhost") {
		return Reference{}, Errorf(Invalid, "image %q: want host/repository@digest or host/repository:tag, with the registry's host", clip(s))
	}
	if i := strings.LastIndexByte(rest, ':'); i > slash {
		if ref.Tag, err = ParseTag(rest[i+1:]); err != nil {
			return Reference{}, err
		}
		rest = rest[:i]
	}
	if ref.Host, err = ParseHost(rest[:slash]); err != nil {
		return Reference{}, err
	}
	if ref.Repository, err = ParseRepository(rest[slash+1:]); err != nil {
		return Reference{}, err
	}
	if ref.Tag == "" && ref.Digest.IsZero() {
		return Reference{}, Errorf(Invalid, "image %q: want a tag or a digest", clip(s))
	}
	return ref, nil
}

// String prints the reference as ParseReference reads it.
func (r Reference) String() string {
	s := string(r.Host) + "/" + string(r.Repository)
	if r.Tag != "" {
		s += ":" + string(r.Tag)
	}
	if !r.Digest.IsZero() {
		s += "@" + r.Digest.String()
	}
	return s
}
