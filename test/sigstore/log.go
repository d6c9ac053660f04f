package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// log is an append-only log: a CT log, of which only the word is needed, or a
// transparency log with its tree.
type log struct {
	window
	kind   Kind
	host   string
	key    crypto.Signer
	public []byte // DER
	id     []byte
	leaves [][]byte // hashes
	newest string   // name of the newest entry
}

func newLog(name string, kind Kind, shard int, from time.Time) (*log, error) {
	l := &log{window: window{From: from}, kind: kind, host: fmt.Sprintf("%s-%d.%s.example", kind, shard, name)}
	var err error
	if kind == RekorV2 {
		_, l.key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		l.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	if l.public, err = x509.MarshalPKIXPublicKey(l.key.Public()); err != nil {
		return nil, err
	}
	l.id = sum(l.public)
	if pub, ok := l.key.Public().(ed25519.PublicKey); ok { // C2SP signed-note: name, algorithm, key
		l.id = sum(append([]byte(l.host+"\n\x01"), pub...))
	}
	return l, nil
}

func (l *log) sign(message []byte) ([]byte, error) {
	if l.kind == RekorV2 {
		return l.key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	return l.key.Sign(rand.Reader, sum(message), crypto.SHA256)
}

// split is the greatest power of two below n.
func split(n int) int {
	k := 1
	for k<<1 < n {
		k <<= 1
	}
	return k
}

func node(left, right []byte) []byte {
	return sum(append(append([]byte{1}, left...), right...))
}

// root and path are MTH and PATH of RFC 6962, section 2.1, as they stand there.
func root(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		return sum(nil)
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return node(root(leaves[:k]), root(leaves[k:]))
}

func path(index int, leaves [][]byte) [][]byte {
	if len(leaves) <= 1 {
		return [][]byte{}
	}
	if k := split(len(leaves)); index < k {
		return append(path(index, leaves[:k]), root(leaves[k:]))
	} else {
		return append(path(index-k, leaves[k:]), root(leaves[:k]))
	}
}

// entry is what a log says of a body that it took.
type entry struct {
	log        *log
	kind       string
	version    string
	body       []byte
	index      int
	integrated int64
	promise    []byte // SET
	size       int
	root       []byte
	hashes     [][]byte
	checkpoint string
}

// append takes a body. A v1 log promises it and says when.
func (l *log) append(kind, version string, body []byte, now time.Time) (entry, error) {
	h := sha256.Sum256(append([]byte{0}, body...))
	l.leaves = append(l.leaves, h[:])
	e := entry{log: l, kind: kind, version: version, body: body, index: len(l.leaves) - 1, size: len(l.leaves), root: root(l.leaves)}
	e.hashes = path(e.index, l.leaves)
	var err error
	if e.checkpoint, err = l.checkpoint(); err != nil || l.kind == RekorV2 {
		return e, err
	}
	e.integrated = now.Unix()
	set, err := json.Marshal(map[string]any{ // sorted keys, no spaces: canonical as it is
		"body": base64.StdEncoding.EncodeToString(body), "integratedTime": e.integrated, "logID": hex.EncodeToString(l.id), "logIndex": e.index,
	})
	if err != nil {
		return e, err
	}
	l.newest = strings.Repeat("0", 16) + hex.EncodeToString(h[:])
	e.promise, err = l.sign(set)
	return e, err
}

func (l *log) checkpoint() (string, error) {
	origin := l.host
	if l.kind == RekorV1 {
		origin += " - 7263841950263748"
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, len(l.leaves), base64.StdEncoding.EncodeToString(root(l.leaves)))
	sig, err := l.sign([]byte(text))
	if err != nil {
		return "", err
	}
	return text + "\n— " + l.host + " " + base64.StdEncoding.EncodeToString(append(l.id[:4:4], sig...)) + "\n", nil
}

// bundled is the entry as a bundle holds it (sigstore_rekor.proto).
func (e entry) bundled(promise, proof bool) map[string]any {
	m := map[string]any{
		"logIndex": fmt.Sprint(e.index), "logId": map[string]any{"keyId": e.log.id}, "kindVersion": map[string]any{"kind": e.kind, "version": e.version},
		"canonicalizedBody": e.body,
	}
	if e.integrated != 0 {
		m["integratedTime"] = fmt.Sprint(e.integrated)
	}
	if promise && e.promise != nil {
		m["inclusionPromise"] = map[string]any{"signedEntryTimestamp": e.promise}
	}
	if proof {
		m["inclusionProof"] = map[string]any{
			"logIndex": fmt.Sprint(e.index), "treeSize": fmt.Sprint(e.size), "rootHash": e.root, "hashes": e.hashes,
			"checkpoint": map[string]any{"envelope": e.checkpoint},
		}
	}
	return m
}

// answered is the entry as Rekor v1's API returns it.
func (e entry) answered() map[string]any {
	hashes := []string{}
	for _, h := range e.hashes {
		hashes = append(hashes, hex.EncodeToString(h))
	}
	id := hex.EncodeToString(e.log.id)
	return map[string]any{e.log.newest: map[string]any{
		"body": e.body, "integratedTime": e.integrated, "logID": id, "logIndex": e.index,
		"verification": map[string]any{
			"signedEntryTimestamp": e.promise,
			"inclusionProof": map[string]any{
				"checkpoint": e.checkpoint, "hashes": hashes, "logIndex": e.index, "rootHash": hex.EncodeToString(e.root), "treeSize": e.size,
			},
		},
	}}
}
