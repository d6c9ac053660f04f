package sigstoretest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Log is a Rekor log: of the first generation with an ECDSA key, of the second with
// an Ed25519 key.
type Log struct {
	Origin string
	Key    crypto.Signer
	ID     []byte
	leaves [][]byte
	t      testing.TB
}

func newLog(t testing.TB, origin string, key crypto.Signer) *Log {
	t.Helper()
	l := &Log{Origin: origin, Key: key, t: t}
	var id [32]byte
	if pub, ok := key.Public().(ed25519.PublicKey); ok {
		id = sha256.Sum256(append([]byte(origin+"\n\x01"), pub...))
	} else {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		id = sha256.Sum256(der)
	}
	l.ID = id[:]
	for i := range 5 {
		l.leaves = append(l.leaves, leafHash([]byte{byte(i)}))
	}
	return l
}

// Name is with what the log signs its checkpoints.
func (l *Log) Name() string { name, _, _ := strings.Cut(l.Origin, " - "); return name }

// Entry takes a body into the log and returns its entry as a bundle has it: of the first
// generation with a promise and a proof, of the second with a proof.
func (l *Log) Entry(kind, version string, body []byte, at time.Time) map[string]any {
	l.t.Helper()
	l.leaves = append(l.leaves, leafHash(body))
	index := len(l.leaves) - 1
	root := treeHash(l.leaves)
	var hashes []any
	for _, h := range auditPath(l.leaves, index) {
		hashes = append(hashes, b64(h))
	}
	entry := map[string]any{
		"logId": map[string]any{"keyId": b64(l.ID)}, "kindVersion": map[string]any{"kind": kind, "version": version},
		"logIndex": fmt.Sprint(index), "canonicalizedBody": b64(body),
		"inclusionProof": map[string]any{
			"logIndex": fmt.Sprint(index), "rootHash": b64(root), "treeSize": fmt.Sprint(len(l.leaves)), "hashes": hashes,
			"checkpoint": map[string]any{"envelope": l.Checkpoint(len(l.leaves), root)},
		},
	}
	if key, ok := l.Key.(*ecdsa.PrivateKey); ok {
		global := index + 1000 // counted over all shards
		entry["logIndex"], entry["integratedTime"] = fmt.Sprint(global), fmt.Sprint(at.Unix())
		entry["inclusionPromise"] = map[string]any{"signedEntryTimestamp": b64(Sign(l.t, key, l.promise(body, at, global)))}
	}
	return entry
}

func (l *Log) promise(body []byte, at time.Time, index int) []byte {
	return fmt.Appendf(nil, `{"body":"%s","integratedTime":%d,"logID":"%s","logIndex":%d}`, b64(body), at.Unix(), hex.EncodeToString(l.ID), index)
}

// Annotation is an entry of the log as cosign writes it beside a signature.
func (l *Log) Annotation(body []byte, at time.Time) string {
	l.t.Helper()
	key, ok := l.Key.(*ecdsa.PrivateKey)
	if !ok {
		l.t.Fatal("only the first generation promises")
	}
	const index = 4711
	return string(JSON(l.t, map[string]any{
		"SignedEntryTimestamp": b64(Sign(l.t, key, l.promise(body, at, index))),
		"Payload":              map[string]any{"body": b64(body), "integratedTime": at.Unix(), "logIndex": index, "logID": hex.EncodeToString(l.ID)},
	}))
}

// Checkpoint signs the head of a tree.
func (l *Log) Checkpoint(size int, root []byte) string {
	l.t.Helper()
	return l.Note(fmt.Sprintf("%s\n%d\n%s\n", l.Origin, size, b64(root)))
}

// Note signs a text with the log's name.
func (l *Log) Note(text string) string {
	l.t.Helper()
	var signature []byte
	switch key := l.Key.(type) {
	case *ecdsa.PrivateKey:
		signature = Sign(l.t, key, []byte(text))
	case ed25519.PrivateKey:
		var err error
		if signature, err = key.Sign(rand.Reader, []byte(text), crypto.Hash(0)); err != nil {
			l.t.Fatal(err)
		}
	}
	return fmt.Sprintf("%s\n— %s %s\n", text, l.Name(), b64(append(bytes.Clone(l.ID[:4]), signature...)))
}

func leafHash(body []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, body...))
	return sum[:]
}

// treeHash and auditPath follow RFC 6962, section 2.1.
func treeHash(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	sum := sha256.Sum256(append(append([]byte{1}, treeHash(leaves[:k])...), treeHash(leaves[k:])...))
	return sum[:]
}

func auditPath(leaves [][]byte, index int) [][]byte {
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	if index < k {
		return append(auditPath(leaves[:k], index), treeHash(leaves[k:]))
	}
	return append(auditPath(leaves[k:], index-k), treeHash(leaves[:k]))
}

func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}

// Signed is a signature and what logs say of it.
type Signed struct {
	Certificate *x509.Certificate
	Signature   []byte
	Message     []byte // what was signed
	Payload     []byte // of a DSSE envelope, else nil
}

func sum(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

func (s Signed) pem() string {
	return b64(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate.Raw}))
}

// Body is what a log keeps of the signature under a kind and version.
func (s Signed) Body(t testing.TB, kind, version string) []byte {
	t.Helper()
	payloadHash := map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(sum(s.Payload))}
	verifier := map[string]any{"content": b64(s.Signature), "verifier": map[string]any{
		"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": map[string]any{"rawBytes": b64(s.Certificate.Raw)},
	}}
	specs := map[string]any{
		"hashedrekord 0.0.1": map[string]any{
			"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(sum(s.Message))}},
			"signature": map[string]any{"content": b64(s.Signature), "publicKey": map[string]any{"content": s.pem()}},
		},
		"dsse 0.0.1": map[string]any{
			"payloadHash": payloadHash, "signatures": []any{map[string]any{"signature": b64(s.Signature), "verifier": s.pem()}},
		},
		"intoto 0.0.1": map[string]any{"publicKey": s.pem(), "content": map[string]any{"payloadHash": payloadHash}},
		"intoto 0.0.2": map[string]any{"content": map[string]any{"payloadHash": payloadHash, "envelope": map[string]any{
			"payloadType": "application/vnd.in-toto+json",
			"signatures":  []any{map[string]any{"publicKey": s.pem(), "sig": b64([]byte(b64(s.Signature)))}},
		}}},
		"hashedrekord 0.0.2": map[string]any{"hashedRekordV002": map[string]any{
			"data": map[string]any{"algorithm": "SHA2_256", "digest": b64(sum(s.Message))}, "signature": verifier,
		}},
		"dsse 0.0.2": map[string]any{"dsseV002": map[string]any{
			"payloadHash": map[string]any{"algorithm": "SHA2_256", "digest": b64(sum(s.Payload))}, "signatures": []any{verifier},
		}},
	}
	spec, ok := specs[kind+" "+version]
	if !ok {
		t.Fatalf("no kind %s %s", kind, version)
	}
	return JSON(t, map[string]any{"apiVersion": version, "kind": kind, "spec": spec})
}
