package sigstore

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// witnessed is what the root's logs say: the times they signed, and the logs that
// have the entry but said no time.
type witnessed struct {
	times    []Use
	timeless []Anchor
}

// checkEntries verifies the entries of the root's logs.
func (r *TrustedRoot) checkEntries(m Material, leaf *x509.Certificate) (witnessed, error) {
	var w witnessed
	for _, e := range m.Entries {
		v2, err := m.logged(e, leaf.PublicKey)
		if err != nil {
			return w, err
		}
		l := r.log(e.LogID)
		if l == nil {
			continue
		}
		at := e.integrated()
		if e.Promise != nil {
			if v2 || !l.promised(e) {
				return w, invalid("log entry: the promise is not by %q over this entry", l.Name)
			}
			if !l.trusted(at) {
				return w, invalid("log entry: %q was not trusted at %s", l.Name, at.Format(time.RFC3339))
			}
			w.times = append(w.times, Use{l.ID, at})
		} else {
			w.timeless = append(w.timeless, l.Anchor)
		}
		if e.IntegratedTime != 0 && (at.Before(leaf.NotBefore) || at.After(leaf.NotAfter)) {
			return w, invalid("log entry: integrated at %s, outside of the certificate's time", at.Format(time.RFC3339))
		}
		if e.Proof != nil {
			if why := e.included(*l, v2); why != "" {
				return w, invalid("log entry: %s", why)
			}
		}
	}
	if len(r.logs) > 0 && len(w.times)+len(w.timeless) == 0 {
		return w, invalid("no entry of a transparency log that the trusted root knows")
	}
	return w, nil
}

func (r *TrustedRoot) log(id []byte) *logKey {
	for i := range r.logs {
		if r.logs[i].id == string(id) {
			return &r.logs[i]
		}
	}
	return nil
}

// promised checks the signed entry timestamp: the log's signature over the entry, its
// place and its time in canonical JSON. Only ECDSA logs sign them.
func (l logKey) promised(e Entry) bool {
	key, ok := l.public.(*ecdsa.PublicKey)
	sum := sha256.Sum256(fmt.Appendf(nil, `{"body":%q,"integratedTime":%d,"logID":%q,"logIndex":%d}`,
		encode64(e.Body), e.IntegratedTime, hex.EncodeToString(e.LogID), e.Index))
	return ok && ecdsa.VerifyASN1(key, sum[:], e.Promise)
}

// included says why the proof does not lead from the entry to a tree that the log
// signed. Root and size are the checkpoint's; what a v1 proof repeats of them agrees.
// The index of v2 is the entry's own, that of v1 counts within a shard.
func (e Entry) included(l logKey, v2 bool) (why string) {
	c, ok := readCheckpoint(e.Proof.Checkpoint)
	if !ok {
		return "its checkpoint is no signed note of a log"
	}
	if !c.signedBy(l, v2) {
		return fmt.Sprintf("its checkpoint is not signed by %q", l.Name)
	}
	index := e.Index
	if !v2 {
		index = e.Proof.Index
		if !bytes.Equal(e.Proof.Root, c.root) || uint64(e.Proof.Size) != c.size { //nolint:gosec // not negative
			return "its proof is of another tree than its checkpoint"
		}
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(e.Body)
	if proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), c.size, leaf, e.Proof.Hashes, c.root) != nil { //nolint:gosec // not negative
		return "its proof does not lead to the log's tree"
	}
	return ""
}
