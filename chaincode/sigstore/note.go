package sigstore

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a checkpoint; a log's is cosigned by some ten witnesses.
const (
	maxNote       = 16 << 10
	maxNoteLines  = 32
	maxNoteSigner = 32
)

// checkpoint is the head of a log, as it signed it. Source: C2SP, tlog-checkpoint.md and
// signed-note.md; Rekor v1 writes "NAME - TREE" for the origin.
type checkpoint struct {
	origin     string
	size       uint64
	root       []byte
	text       []byte // what is signed
	signatures []noteSignature
}

type noteSignature struct {
	name      string
	hint      string // 4 bytes
	signature []byte
}

// readCheckpoint reads a signed note; ok is false for what is none.
func readCheckpoint(envelope string) (c checkpoint, ok bool) {
	if len(envelope) > maxNote || !utf8.ValidString(envelope) ||
		strings.ContainsFunc(envelope, func(r rune) bool { return r < ' ' && r != '\n' }) {
		return c, false
	}
	at := strings.LastIndex(envelope, "\n\n")
	if at < 0 || !strings.HasSuffix(envelope, "\n") {
		return c, false
	}
	c.text = []byte(envelope[:at+1])
	if c.signatures, ok = readNoteSignatures(envelope[at+2:]); !ok {
		return c, false
	}
	lines := strings.Split(envelope[:at], "\n")
	if len(lines) < 3 || len(lines) > maxNoteLines || strings.TrimSpace(lines[0]) == "" {
		return c, false
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return c, false
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != sha256.Size {
		return c, false
	}
	c.origin, c.size, c.root = lines[0], size, root
	return c, true
}

func readNoteSignatures(text string) ([]noteSignature, bool) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > maxNoteSigner {
		return nil, false
	}
	var out []noteSignature
	for _, line := range lines {
		rest, isSignature := strings.CutPrefix(line, "— ")
		name, encoded, both := strings.Cut(rest, " ")
		b, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !isSignature || !both || name == "" || err != nil || len(b) <= 4 {
			return nil, false
		}
		out = append(out, noteSignature{name, string(b[:4]), b[4:]})
	}
	return out, true
}

// treeOrigin is the origin of a Rekor v1 log's checkpoint: the name it signs with, and
// the number of the tree.
var treeOrigin = regexp.MustCompile(`^([^\s+]+) - [0-9]+$`)

// signedBy tells whether a log signed the checkpoint with its name and key. A line that
// claims both and does not verify refuses it; lines of others, of witnesses for example,
// say nothing here.
func (c checkpoint) signedBy(l logKey, v2 bool) bool {
	name, id := l.origin, noteKeyID(l.origin, l.public, nil)
	if !v2 {
		tree := treeOrigin.FindStringSubmatch(c.origin)
		if tree == nil {
			return false
		}
		name, id = tree[1], []byte(l.id)
	} else if name == "" || c.origin != name {
		return false
	}
	found := false
	for _, s := range c.signatures {
		if s.name != name || s.hint != string(id[:4]) {
			continue
		}
		if !verifiesNote(l.public, c.text, s.signature, v2) {
			return false
		}
		found = true
	}
	return found
}

// verifiesNote checks a log's signature. Rekor v1 hashes with SHA-256 whatever its key.
func verifiesNote(public crypto.PublicKey, text, signature []byte, v2 bool) bool {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, hashFor(key, v2).sum(text), signature)
	case ed25519.PublicKey:
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(key, text, signature)
	case *rsa.PublicKey:
		sum := sha256.Sum256(text)
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	}
	return false
}

// noteKeyID is the key id of a signed note before it is cut to four bytes. An ECDSA key
// has that of RFC 6962, without a name.
func noteKeyID(name string, public crypto.PublicKey, spki []byte) []byte {
	if spki == nil {
		spki, _ = x509.MarshalPKIXPublicKey(public) // it was parsed from there
	}
	var in bytes.Buffer
	switch key := public.(type) {
	case ed25519.PublicKey:
		in.WriteString(name + "\n\x01")
		in.Write(key)
	case *rsa.PublicKey:
		in.WriteString(name + "\n\xffPKIX-RSA-PKCS#1v1.5")
		in.Write(spki)
	default:
		in.Write(spki)
	}
	sum := sha256.Sum256(in.Bytes())
	return sum[:]
}
