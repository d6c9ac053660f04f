package signer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// imprint and timestampRequest are of RFC 3161, section 2.4.1.
type imprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

type timestampRequest struct {
	Version      int
	Imprint      imprint
	Nonce        *big.Int
	Certificates bool `asn1:"optional"`
}

var oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} //nolint:gochecknoglobals // a constant

// stamp returns a timestamp authority's answer about the signature, as it came.
func (s signed) stamp(ctx context.Context, address string) ([]byte, error) {
	u, err := parseURL(address)
	if err != nil {
		return nil, err
	}
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(s.signature)
	ask, err := asn1.Marshal(timestampRequest{1, imprint{pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, sum[:]}, nonce, true})
	if err != nil {
		return nil, err
	}
	r := request{method: http.MethodPost, address: u, mediaType: "application/timestamp-query"}
	answer, err := r.send(ctx, ask)
	if err != nil {
		return nil, err
	}
	var response struct { // section 2.4.2
		Status struct {
			Status int
			Rest   []asn1.RawValue `asn1:"optional"`
		}
		Token asn1.RawValue `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(answer, &response); err != nil || len(rest) > 0 {
		return nil, provenance.Errorf(provenance.Invalid, "%s answered no timestamp", u.Host)
	}
	if response.Status.Status > 1 || len(response.Token.FullBytes) == 0 { // 0 granted, 1 with modifications
		return nil, provenance.Errorf(provenance.Invalid, "%s refused to timestamp: status %d", u.Host, response.Status.Status)
	}
	return answer, nil
}

// log has a transparency log take the signature and returns the entry as a bundle holds it.
func (s signed) log(ctx context.Context, l Log) (any, error) {
	if l.Version == 2 {
		return s.logV2(ctx, l.URL)
	}
	return s.logV1(ctx, l.URL)
}

// entryV1 is an entry as Rekor v1's API returns it.
type entryV1 struct {
	Body           []byte `json:"body"`
	IntegratedTime int64  `json:"integratedTime"`
	LogID          string `json:"logID"`
	LogIndex       int64  `json:"logIndex"`
	Verification   struct {
		Promise []byte `json:"signedEntryTimestamp"`
		Proof   struct {
			Checkpoint string   `json:"checkpoint"`
			Hashes     []string `json:"hashes"`
			LogIndex   int64    `json:"logIndex"`
			RootHash   string   `json:"rootHash"`
			TreeSize   int64    `json:"treeSize"`
		} `json:"inclusionProof"`
	} `json:"verification"`
}

// logV1 enters the envelope (Rekor v1, /api/v1/log/entries, kind dsse).
func (s signed) logV1(ctx context.Context, base string) (any, error) {
	address, err := at(base, "/api/v1/log/entries")
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s.envelope)
	if err != nil {
		return nil, err
	}
	var answer map[string]entryV1
	r := request{method: http.MethodPost, address: address}
	if err := r.json(ctx, map[string]any{"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{"proposedContent": map[string]any{
		"envelope": string(text), "verifiers": []any{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate})},
	}}}, &answer); err != nil {
		return nil, err
	}
	for _, e := range answer {
		if len(answer) == 1 {
			return e.bundled(address.Host)
		}
	}
	return nil, provenance.Errorf(provenance.Invalid, "%s answered with %d entries", address.Host, len(answer))
}

// bundled is the entry in a bundle's form (sigstore_rekor.proto): bytes are base64, not hex.
func (e entryV1) bundled(host string) (any, error) {
	broken := provenance.Errorf(provenance.Invalid, "%s answered with a broken entry", host)
	var kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	id, err := hex.DecodeString(e.LogID)
	if err != nil || json.Unmarshal(e.Body, &kind) != nil {
		return nil, broken
	}
	proof := e.Verification.Proof
	root, err := hex.DecodeString(proof.RootHash)
	if err != nil {
		return nil, broken
	}
	hashes := [][]byte{}
	for _, h := range proof.Hashes {
		b, err := hex.DecodeString(h)
		if err != nil {
			return nil, broken
		}
		hashes = append(hashes, b)
	}
	return map[string]any{
		"logIndex": fmt.Sprint(e.LogIndex), "logId": map[string]any{"keyId": id}, "kindVersion": map[string]any{"kind": kind.Kind, "version": kind.APIVersion},
		"integratedTime": fmt.Sprint(e.IntegratedTime), "inclusionPromise": map[string]any{"signedEntryTimestamp": e.Verification.Promise},
		"inclusionProof": map[string]any{
			"logIndex": fmt.Sprint(proof.LogIndex), "rootHash": root, "treeSize": fmt.Sprint(proof.TreeSize), "hashes": hashes,
			"checkpoint": map[string]any{"envelope": proof.Checkpoint},
		},
		"canonicalizedBody": e.Body,
	}, nil
}

// logV2 enters the hash of what was signed (Rekor v2, /api/v2/log/entries, kind
// hashedrekord); the answer is a bundle's entry as it stands.
func (s signed) logV2(ctx context.Context, base string) (any, error) {
	address, err := at(base, "/api/v2/log/entries")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(s.message)
	var entry map[string]json.RawMessage
	r := request{method: http.MethodPost, address: address}
	err = r.json(ctx, map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest": sum[:], "signature": map[string]any{"content": s.signature, "verifier": map[string]any{
			"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": map[string]any{"rawBytes": s.certificate},
		}},
	}}, &entry)
	if err == nil && !strings.HasPrefix(string(entry["inclusionProof"]), "{") {
		err = provenance.Errorf(provenance.Invalid, "%s answered without a proof of the entry", address.Host)
	}
	return entry, err
}
