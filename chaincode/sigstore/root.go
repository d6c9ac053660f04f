package sigstore

import (
	"cmp"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/chaincode/strictjson"
)

// Limits of a trusted root. The public one has 7 KiB and two authorities of a kind.
const (
	MaxTrustedRoot = 64 << 10
	MaxAuthorities = 16 // of one kind
	maxChain       = 6  // certificates of one authority
	maxCertificate = 16 << 10
	maxKey         = 4 << 10
	maxName        = 512
)

// Source: sigstore/protobuf-specs, protos/sigstore_trustroot.proto.
const (
	rootType      = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
	rootTypeV01   = "application/vnd.dev.sigstore.trustedroot.v0.1+json"
	rootTypeV02   = "application/vnd.dev.sigstore.trustedroot.v0.2+json"
	rootTypeOther = "application/vnd.dev.sigstore.trustedroot+json;version=0.2"
)

// TrustedRoot is a trusted_root.json that was read. It does not change.
type TrustedRoot struct {
	authorities []authority // certificate authorities
	stampers    []authority // timestamp authorities
	ctLogs      []logKey
	logs        []logKey
	canonical   []byte
}

// authority signs certificates or timestamps. The last certificate of its chain is
// trusted as it stands; the others lead there.
type authority struct {
	Anchor
	uri, subject, organization, operator string

	chain []*x509.Certificate
}

// logKey is a log that signs with one key.
type logKey struct {
	Anchor
	operator   string
	keyDetails string
	der        []byte // as the document has it
	public     crypto.PublicKey
	id         string // 32 bytes
	origin     string // the name with which a Rekor v2 log signs its checkpoints
}

func badRoot(format string, args ...any) error {
	return provenance.Errorf(provenance.Invalid, "trusted root: "+format, args...)
}

// ParseTrustedRoot reads a trusted_root.json as a whole: what verification would need
// from any of its authorities is there, well-formed and within its bounds, or the whole
// is Invalid. A member that is not known here refuses it, for it might narrow what is
// trusted.
func ParseTrustedRoot(text []byte) (*TrustedRoot, error) {
	m, err := strictjson.Object(text, strictjson.Limits{Bytes: MaxTrustedRoot, Depth: 8})
	if err != nil {
		return nil, provenance.Wrap(provenance.Invalid, err, "trusted root")
	}
	doc := object(m)
	if !doc.only("mediaType", "tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities") {
		return nil, badRoot("members are mediaType, tlogs, certificateAuthorities, ctlogs and timestampAuthorities only")
	}
	switch kind, _ := doc.text("mediaType"); kind {
	case rootType, rootTypeV01, rootTypeV02, rootTypeOther:
	default:
		return nil, badRoot("mediaType %q: want %s", clip(kind), rootType)
	}
	r := &TrustedRoot{}
	if r.logs, err = readLogs(doc, "tlogs", TransparencyLog); err != nil {
		return nil, err
	}
	if r.ctLogs, err = readLogs(doc, "ctlogs", CTLog); err != nil {
		return nil, err
	}
	if r.authorities, err = readAuthorities(doc, "certificateAuthorities", CertificateAuthority); err != nil {
		return nil, err
	}
	if r.stampers, err = readAuthorities(doc, "timestampAuthorities", TimestampAuthority); err != nil {
		return nil, err
	}
	if len(r.authorities) == 0 {
		return nil, badRoot("no certificate authority")
	}
	if len(r.logs) == 0 && len(r.stampers) == 0 {
		return nil, badRoot("neither a transparency log nor a timestamp authority: nobody could tell when a signature was made")
	}
	r.canonical, err = r.encode()
	return r, err
}

// Anchors returns the root's authorities, sorted by ID.
func (r *TrustedRoot) Anchors() []Anchor {
	var out []Anchor
	for _, a := range slices.Concat(r.authorities, r.stampers) {
		out = append(out, a.Anchor)
	}
	for _, l := range slices.Concat(r.ctLogs, r.logs) {
		out = append(out, l.Anchor)
	}
	slices.SortFunc(out, func(a, b Anchor) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// SharesAuthority names a certificate authority of the root that vouches for certificates
// which one of another root vouches for as well, however their chains are told. Two that
// have but their root in common do not: each issues by a key of its own.
func (r *TrustedRoot) SharesAuthority(other *TrustedRoot) (name string, shared bool) {
	issuesWithin := func(a, b authority) bool {
		return slices.ContainsFunc(b.chain, func(c *x509.Certificate) bool {
			return string(c.RawSubjectPublicKeyInfo) == string(a.chain[0].RawSubjectPublicKeyInfo)
		})
	}
	for _, a := range r.authorities {
		for _, b := range other.authorities {
			if issuesWithin(a, b) || issuesWithin(b, a) {
				return a.Name, true
			}
		}
	}
	return "", false
}

// anchorID names an authority by its kind and the DER of its key or certificates.
func anchorID(kind AnchorKind, ders ...[]byte) string {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	for _, der := range ders {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(der)))) //nolint:gosec // bounded by maxCertificate
		h.Write(der)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func readLogs(doc object, member string, kind AnchorKind) ([]logKey, error) {
	entries, ok := doc.objects(member, MaxAuthorities)
	if !ok {
		return nil, badRoot("%s: want a list of at most %d", member, MaxAuthorities)
	}
	var out []logKey
	for i, entry := range entries {
		l, why := readLog(entry, kind)
		if why != "" {
			return nil, badRoot("%s %d: %s", member, i, why)
		}
		if slices.ContainsFunc(out, func(other logKey) bool { return other.ID == l.ID || other.id == l.id }) {
			return nil, badRoot("%s %d: the same log again", member, i)
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b logKey) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func readLog(entry object, kind AnchorKind) (l logKey, why string) {
	key, isKey := entry.object("publicKey")
	logID, isID := entry.object("logId")
	hash, _ := entry.text("hashAlgorithm")
	if !entry.only("baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator") ||
		!isKey || !isID || !key.only("rawBytes", "keyDetails", "validFor") || !logID.only("keyId") {
		return l, "it has members that are not known, or not of their kind"
	}
	if hash != "SHA2_256" {
		return l, "want hashAlgorithm SHA2_256"
	}
	if l.Name, why = readName(entry, "baseUrl"); why != "" {
		return l, why
	}
	if l.operator, why = readName(entry, "operator"); why != "" {
		return l, why
	}
	if l.From, l.Until, why = readWindow(key); why != "" {
		return l, why
	}
	l.keyDetails, _ = key.text("keyDetails")
	l.der, _ = key.binary("rawBytes", maxKey)
	spki, public := parseLogKey(l.keyDetails, l.der)
	if public == nil {
		return l, "its key is not of the kind that keyDetails says, or of none that is known here"
	}
	l.public = public
	if u, err := url.Parse(l.Name); err == nil {
		l.origin = u.Hostname()
	}
	id, _ := logID.binary("keyId", sha256.Size)
	byKey, byOrigin := sha256.Sum256(spki), noteKeyID(l.origin, public, spki)
	l.id = string(id)
	if l.id != string(byKey[:]) && (kind != TransparencyLog || l.id != string(byOrigin)) {
		return l, "logId is not the id of its key"
	}
	l.Kind, l.ID = kind, anchorID(kind, spki)
	return l, ""
}

func readAuthorities(doc object, member string, kind AnchorKind) ([]authority, error) {
	entries, ok := doc.objects(member, MaxAuthorities)
	if !ok {
		return nil, badRoot("%s: want a list of at most %d", member, MaxAuthorities)
	}
	var out []authority
	for i, entry := range entries {
		a, why := readAuthority(entry, kind)
		if why != "" {
			return nil, badRoot("%s %d: %s", member, i, why)
		}
		if slices.ContainsFunc(out, func(other authority) bool { return other.ID == a.ID }) {
			return nil, badRoot("%s %d: the same authority again", member, i)
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b authority) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func readAuthority(entry object, kind AnchorKind) (a authority, why string) {
	subject, isSubject := entry.object("subject")
	chain, isChain := entry.object("certChain")
	certs, isList := chain.objects("certificates", maxChain)
	if !entry.only("subject", "uri", "certChain", "validFor", "operator") || !isSubject || !isChain || !isList ||
		!subject.only("organization", "commonName") || !chain.only("certificates") || len(certs) == 0 {
		return a, "it has members that are not known or not of their kind, or not 1 to 6 certificates"
	}
	if a.uri, why = readName(entry, "uri"); why != "" {
		return a, why
	}
	if a.operator, why = readName(entry, "operator"); why != "" {
		return a, why
	}
	if a.organization, why = readName(subject, "organization"); why != "" {
		return a, why
	}
	if a.subject, why = readName(subject, "commonName"); why != "" {
		return a, why
	}
	if a.From, a.Until, why = readWindow(entry); why != "" {
		return a, why
	}
	var ders [][]byte
	for _, c := range certs {
		der, ok := c.binary("rawBytes", maxCertificate)
		if !ok || !c.only("rawBytes") {
			return a, "a certificate is not base64, or too large"
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil || CheckPublicKey(cert.PublicKey) != nil {
			return a, "a certificate cannot be read, or its key is not of a kind that is known here"
		}
		a.chain, ders = append(a.chain, cert), append(ders, der)
	}
	a.Kind, a.ID, a.Name = kind, anchorID(kind, ders...), cmp.Or(a.uri, a.subject, a.organization)
	return a, a.checkChain()
}

// checkChain tells why the certificates are no chain of authorities, signer first; of a
// timestamp authority the first may be the one that signs.
func (a authority) checkChain() (why string) {
	for i, c := range a.chain {
		signer := i == 0 && a.Kind == TimestampAuthority && len(a.chain) > 1 && !c.IsCA
		if !signer && (!c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0) {
			return "a certificate of its chain is no authority's"
		}
		if i > 0 && string(a.chain[i-1].RawIssuer) != string(c.RawSubject) {
			return "its certificates are no chain, signer first"
		}
	}
	return ""
}

// readWindow reads the time for which an authority is trusted. It has a start: without
// one, whoever steals an old key could reach back for ever.
func readWindow(entry object) (from, until time.Time, why string) {
	window, ok := entry.object("validFor")
	start, isStart := window.text("start")
	end, isEnd := window.text("end")
	if !ok || !isStart || !isEnd || !window.only("start", "end") || start == "" || window["end"] == "" {
		return from, until, "want validFor with a start"
	}
	if from, ok = readTime(start); !ok {
		return from, until, "validFor.start is no RFC 3339 time"
	}
	if end == "" {
		return from, until, ""
	}
	if until, ok = readTime(end); !ok || until.Before(from) {
		return from, until, "validFor.end is no RFC 3339 time, or before the start"
	}
	return from, until, ""
}

func readTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	t = t.UTC()
	return t, err == nil && t.Year() >= 1970 && t.Year() <= 9999
}

// readName reads a text for people, in which nothing is unseen.
func readName(entry object, member string) (name, why string) {
	name, ok := entry.text(member)
	if !ok || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return unicode.In(c, unicode.Cc, unicode.Cf) }) {
		return "", member + " is no text of at most 512 bytes"
	}
	return name, ""
}
