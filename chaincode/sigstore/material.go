package sigstore

import (
	"bytes"
	"crypto"
	"time"
)

// Limits of what comes with a signature, checked before anything of it is verified.
const (
	MaxCertificates = 10
	MaxEntries      = 4
	MaxTimestamps   = 4
	MaxHashes       = 64
	maxBody         = 64 << 10
	maxSignature    = 2 << 10
	maxTimestamp    = 16 << 10
)

// Material is a signature and what came with it. Bundle and Annotations read the part of
// it that proves when the signature was made.
type Material struct {
	Signature []byte
	// Certificate is the signer's, in DER. Others that came with it decide nothing.
	Certificate []byte
	// Verifies tells whether Signature is a key's over what was signed, which is:
	Verifies func(crypto.PublicKey) bool
	// Message, the bytes signed; or where only that is known, the Digest of them under
	// Algorithm (sha256, sha384, sha512).
	Message   []byte
	Algorithm string
	Digest    []byte
	// PayloadType and Payload are what Message encodes where it is of a DSSE envelope.
	PayloadType string
	Payload     []byte

	Entries    []Entry
	Timestamps [][]byte // RFC 3161 responses in DER, over Signature
}

// Entry is an entry of a Rekor log. Promise is the log's signed entry timestamp, Proof its
// proof of inclusion; there is one of them at least.
type Entry struct {
	Kind, Version  string // as the bundle says; "" where it does not
	LogID          []byte
	Index          int64
	IntegratedTime int64 // Unix seconds; it counts with a Promise only
	Body           []byte
	Promise        []byte
	Proof          *Proof
}

// Proof is a proof of inclusion, with the checkpoint whose tree it leads to.
type Proof struct {
	Index, Size int64
	Root        []byte
	Hashes      [][]byte
	Checkpoint  string
}

// Version is that of a bundle's format. Up to V01 an entry has a promise, from V02 on a proof.
type Version int

// The versions of Sigstore bundles.
const (
	V01 Version = 1 + iota
	V02
	V03
)

// Bundle reads the verification material of a Sigstore bundle: its log entries and
// timestamps. It has no certificate and no signature of it yet.
// Source: sigstore/protobuf-specs, sigstore_bundle.proto and sigstore_rekor.proto.
func Bundle(material map[string]any, version Version) (Material, error) {
	var m Material
	if !object(material).only("certificate", "x509CertificateChain", "publicKey", "tlogEntries", "timestampVerificationData") {
		return m, invalid("bundle: verificationMaterial has members that are not known")
	}
	entries, ok := object(material).objects("tlogEntries", MaxEntries)
	if !ok {
		return m, invalid("bundle: tlogEntries: want a list of at most %d", MaxEntries)
	}
	for i, e := range entries {
		entry, ok := readEntry(e)
		if !ok {
			return m, invalid("bundle: log entry %d is not well-formed", i)
		}
		switch {
		case version == V01 && entry.Promise == nil:
			return m, invalid("bundle: log entry %d has no inclusion promise, as v0.1 demands", i)
		case version > V01 && entry.Proof == nil:
			return m, invalid("bundle: log entry %d has no inclusion proof, as versions from v0.2 on demand", i)
		}
		m.Entries = append(m.Entries, entry)
	}
	data, ok := object(material).object("timestampVerificationData")
	stamps, isList := data.objects("rfc3161Timestamps", MaxTimestamps)
	if !ok || !isList || !data.only("rfc3161Timestamps") {
		return m, invalid("bundle: rfc3161Timestamps: want a list of at most %d", MaxTimestamps)
	}
	for i, s := range stamps {
		stamp, ok := s.binary("signedTimestamp", maxTimestamp)
		if !ok || stamp == nil || !s.only("signedTimestamp") {
			return m, invalid("bundle: timestamp %d is no base64 of at most %d bytes", i, maxTimestamp)
		}
		m.Timestamps = append(m.Timestamps, stamp)
	}
	return m, nil
}

func readEntry(o object) (Entry, bool) {
	var e Entry
	kind, isKind := o.object("kindVersion")
	logID, isID := o.object("logId")
	promise, isPromise := o.object("inclusionPromise")
	proof, isProof := o.object("inclusionProof")
	ok := isKind && isID && isPromise && isProof && kind.only("kind", "version") && logID.only("keyId") && promise.only("signedEntryTimestamp") &&
		o.only("logIndex", "logId", "kindVersion", "integratedTime", "inclusionPromise", "inclusionProof", "canonicalizedBody")
	read := func(good bool) { ok = ok && good }
	var good bool
	e.Kind, good = kind.text("kind")
	read(good && e.Kind != "")
	e.Version, good = kind.text("version")
	read(good && e.Version != "")
	e.LogID, good = logID.binary("keyId", maxName)
	read(good && e.LogID != nil)
	e.Index, good = o.integer("logIndex")
	read(good)
	e.IntegratedTime, good = o.integer("integratedTime")
	read(good)
	e.Body, good = o.binary("canonicalizedBody", maxBody)
	read(good && e.Body != nil)
	e.Promise, good = promise.binary("signedEntryTimestamp", maxSignature)
	read(good)
	if proof != nil {
		e.Proof, good = readProof(proof)
		read(good)
	}
	return e, ok && (e.Promise != nil || e.Proof != nil)
}

func readProof(o object) (*Proof, bool) {
	p := &Proof{}
	checkpoint, isCheckpoint := o.object("checkpoint")
	hashes, isList := o.list("hashes", MaxHashes)
	ok := isCheckpoint && isList && checkpoint.only("envelope") && o.only("logIndex", "rootHash", "treeSize", "hashes", "checkpoint")
	read := func(good bool) { ok = ok && good }
	var good bool
	p.Index, good = o.integer("logIndex")
	read(good)
	p.Size, good = o.integer("treeSize")
	read(good)
	p.Root, good = o.binary("rootHash", maxName)
	read(good)
	p.Checkpoint, good = checkpoint.text("envelope")
	read(good && p.Checkpoint != "" && len(p.Checkpoint) <= maxNote)
	for _, h := range hashes {
		text, _ := h.(string)
		hash, good := DecodeBase64(text, maxName)
		read(good)
		p.Hashes = append(p.Hashes, hash)
	}
	return p, ok
}

// Annotations reads what cosign writes beside a signature in a layer's annotations:
// dev.sigstore.cosign/bundle, an entry of a Rekor v1 log with its promise, and
// dev.sigstore.cosign/rfc3161timestamp. Either may be "".
func Annotations(bundle, timestamp string) (Material, error) {
	var m Material
	if bundle != "" {
		doc, ok := readObject([]byte(bundle), 2*maxBody)
		payload, isPayload := doc.object("Payload")
		if !ok || !isPayload {
			return m, invalid("annotation bundle: want a JSON object with SignedEntryTimestamp and Payload")
		}
		var e Entry
		var good [5]bool
		e.Promise, good[0] = doc.binary("SignedEntryTimestamp", maxSignature)
		e.Body, good[1] = payload.binary("body", maxBody)
		e.IntegratedTime, good[2] = payload.integer("integratedTime")
		e.Index, good[3] = payload.integer("logIndex")
		e.LogID, good[4] = payload.hexadecimal("logID")
		if good != [5]bool{true, true, true, true, true} || e.Promise == nil || e.Body == nil {
			return m, invalid("annotation bundle is not well-formed")
		}
		m.Entries = []Entry{e}
	}
	if timestamp != "" {
		doc, ok := readObject([]byte(timestamp), 2*maxTimestamp)
		stamp, isStamp := doc.binary("SignedRFC3161Timestamp", maxTimestamp)
		if !ok || !isStamp || stamp == nil {
			return m, invalid("annotation rfc3161timestamp: want a JSON object with SignedRFC3161Timestamp in base64")
		}
		m.Timestamps = [][]byte{stamp}
	}
	return m, nil
}

// check bounds what whoever made the material may have us compute.
func (m Material) check() error {
	switch {
	case len(m.Certificate) == 0:
		return invalid("the signature carries no certificate, and a trusted root vouches for certificates only")
	case len(m.Certificate) > maxCertificate:
		return invalid("certificate of %d bytes: at most %d", len(m.Certificate), maxCertificate)
	case len(m.Signature) == 0 || len(m.Signature) > maxSignature || m.Verifies == nil:
		return invalid("signature of %d bytes: want 1 to %d", len(m.Signature), maxSignature)
	case len(m.Entries) > MaxEntries:
		return invalid("%d log entries: at most %d", len(m.Entries), MaxEntries)
	case len(m.Timestamps) > MaxTimestamps:
		return invalid("%d timestamps: at most %d", len(m.Timestamps), MaxTimestamps)
	}
	for i, e := range m.Entries {
		if len(e.Body) > maxBody || len(e.Promise) > maxSignature || e.Index < 0 || e.Promise == nil && e.Proof == nil {
			return invalid("log entry %d is beyond its bounds", i)
		}
		if p := e.Proof; p != nil && (len(p.Hashes) > MaxHashes || len(p.Checkpoint) > maxNote || p.Index < 0) {
			return invalid("log entry %d: its proof is beyond its bounds", i)
		}
		for _, other := range m.Entries[:i] {
			if bytes.Equal(e.LogID, other.LogID) && e.Index == other.Index {
				return invalid("log entry %d is there twice", i)
			}
		}
	}
	for i, s := range m.Timestamps {
		if len(s) > maxTimestamp {
			return invalid("timestamp %d of %d bytes: at most %d", i, len(s), maxTimestamp)
		}
	}
	return nil
}

// integrated is the time at which the log says it took the entry.
func (e Entry) integrated() time.Time { return time.Unix(e.IntegratedTime, 0).UTC() }
