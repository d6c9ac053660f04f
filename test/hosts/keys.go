package hosts

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// key is a private key that lies on a host.
type key struct {
	host, path  string // the path as the host sees it
	fingerprint string // SHA-256 of the public key (SubjectPublicKeyInfo); "" of one that is encrypted
	secret      []byte // what nobody else may hold, in any form: the scalar, the seed, a prime, or a key's ciphertext
}

// keyring finds traces of many keys in a file at once.
type keyring struct {
	keys    []*key
	needles map[uint64][]needle // by their first eight bytes
	first   [1 << 16]bool       // of their first two
}

type needle struct {
	bytes []byte
	of    *key
}

// ForeignKeys searches every host for private keys of another: for a key file whose public key is another host's as well,
// and, in every file whatever it is (ledgers, databases, logs, packages), for the secret itself, as bytes, in hexadecimal
// and in base64. It returns what it found, and on how many keys and files that rests.
func (t *Testbed) ForeignKeys() (found []string, keys, files int, err error) {
	ring, err := t.keys()
	if err != nil {
		return nil, 0, 0, err
	}
	owner := map[string]*key{}
	for _, k := range ring.keys {
		if first := owner[k.fingerprint]; first == nil {
			owner[k.fingerprint] = k
		} else if k.fingerprint != "" && first.host != k.host {
			found = append(found, fmt.Sprintf("%s: %s is the private key of %s (%s)", k.host, k.path, first.host, first.path))
		}
	}
	for _, h := range t.Hosts {
		err := h.walk(func(path string, raw []byte) {
			files++
			if k := ring.foreign(raw, h.Name); k != nil {
				found = append(found, fmt.Sprintf("%s: %s holds the private key of %s (%s)", h.Name, path, k.host, k.path))
			}
		})
		if err != nil {
			return nil, 0, 0, err
		}
	}
	return found, len(ring.keys), files, nil
}

// walk hands out every file of the host. What vanishes meanwhile, as in a running database, is left out.
func (h *Host) walk(each func(path string, raw []byte)) error {
	return filepath.WalkDir(h.Folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.Type().IsRegular() {
			return nil
		}
		var raw []byte
		if err == nil {
			raw, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			each("/srv"+strings.TrimPrefix(path, h.Folder), raw)
		}
		return err
	})
}

// keys gathers the private keys of all hosts.
func (t *Testbed) keys() (*keyring, error) {
	ring := &keyring{needles: map[uint64][]needle{}}
	for _, h := range t.Hosts {
		err := h.walk(func(path string, raw []byte) {
			for _, k := range privateKeys(raw) {
				k.host, k.path = h.Name, path
				ring.add(k)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return ring, nil
}

func (r *keyring) add(k *key) {
	r.keys = append(r.keys, k)
	add := func(b []byte) {
		if len(b) < 16 {
			return
		}
		r.first[binary.BigEndian.Uint16(b)] = true
		at := binary.BigEndian.Uint64(b)
		r.needles[at] = append(r.needles[at], needle{b, k})
	}
	add(k.secret)
	add([]byte(hex.EncodeToString(k.secret)))
	add([]byte(strings.ToUpper(hex.EncodeToString(k.secret))))
	// Base64 writes the same bytes in three ways, by where they begin; the first and last letters depend on the neighbours.
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for shift := range 3 {
			text := encoding.EncodeToString(append(make([]byte, shift), k.secret...))
			text = strings.TrimRight(text, "=")
			add([]byte(text[4*min(shift, 1) : len(text)-2]))
		}
	}
}

// in returns a key that a text holds a trace of.
func (r *keyring) in(text []byte) *key { return r.foreign(text, "") }

// foreign returns a key of another host that a text holds a trace of.
func (r *keyring) foreign(text []byte, host string) *key {
	// A PEM block is base64 with line breaks.
	texts := [][]byte{text}
	if len(text) < 1<<20 || bytes.Contains(text, []byte("PRIVATE KEY")) {
		texts = append(texts, bytes.Join(bytes.Fields(bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))), nil))
	}
	for _, text := range texts {
		for i := 0; i+16 <= len(text); i++ {
			if !r.first[binary.BigEndian.Uint16(text[i:])] {
				continue
			}
			for _, n := range r.needles[binary.BigEndian.Uint64(text[i:])] {
				if n.of.host != host && bytes.HasPrefix(text[i:], n.bytes) {
					return n.of
				}
			}
		}
	}
	return nil
}

// privateKeys reads the private keys in a text: PEM wherever it is in it, in a JSON string too, or the whole as DER.
func privateKeys(raw []byte) []*key {
	var out []*key
	if k := privateKey(raw); k != nil {
		out = append(out, k)
	}
	if !bytes.Contains(raw, []byte("PRIVATE KEY")) {
		return out
	}
	rest := bytes.ReplaceAll(raw, []byte(`\n`), []byte("\n"))
	for {
		at := bytes.Index(rest, []byte("-----BEGIN "))
		if at < 0 {
			return out
		}
		block, after := pem.Decode(rest[at:])
		if block == nil {
			rest = rest[at+1:]
			continue
		}
		rest = after
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if k := privateKey(block.Bytes); k != nil {
			out = append(out, k)
		} else { // encrypted: its ciphertext is nobody else's either
			out = append(out, &key{secret: block.Bytes[max(0, len(block.Bytes)-48):]})
		}
	}
}

func privateKey(der []byte) *key {
	var parsed any
	var err error
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
	} {
		if parsed, err = parse(der); err == nil {
			break
		}
	}
	signer, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil
	}
	var secret []byte
	switch k := parsed.(type) {
	case *ecdsa.PrivateKey:
		if secret, err = k.Bytes(); err != nil {
			return nil
		}
	case ed25519.PrivateKey:
		secret = k.Seed()
	case *rsa.PrivateKey:
		secret = k.Primes[0].Bytes()
	}
	public, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(public)
	return &key{fingerprint: hex.EncodeToString(sum[:]), secret: secret}
}
