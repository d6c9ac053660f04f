package sigstore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/digitorus/timestamp"
)

// Token returns an identity token as a provider of CI jobs or of people makes one,
// for the audience sigstore. Its signature is the instance's own.
func (s *Instance) Token(id Identity, life time.Duration) string {
	claims := map[string]any{"iss": id.Issuer, "sub": id.URI + id.Other, "aud": "sigstore", "exp": s.Now().Add(life).Unix(), "jti": hex.EncodeToString(random(8))}
	if id.Email != "" {
		claims["email"], claims["email_verified"], claims["sub"] = id.Email, true, "1234"
	}
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err) // texts and numbers
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	text += "." + base64.RawURLEncoding.EncodeToString(s.mac(text))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[text] = id
	return text
}

func random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
	return b
}

func (s *Instance) mac(text string) []byte {
	h := hmac.New(sha256.New, s.secret)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Refuse answers the next request below a path with a status.
func (s *Instance) Refuse(path string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil {
		s.refused = map[string]int{}
	}
	s.refused[path] = status
}

// Handler answers as Fulcio (/api/v2/signingCert), Rekor v1 (/api/v1/log/entries),
// Rekor v2 (/api/v2/log/entries) and a timestamp authority (/api/v1/timestamp).
func (s *Instance) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, do := range map[string]func(*http.Request, []byte) (status int, mediaType string, body []byte, err error){
		"/api/v2/signingCert": s.serveFulcio, "/api/v1/log/entries": s.serveV1, "/api/v2/log/entries": s.serveV2, "/api/v1/timestamp": s.serveStamp,
	} {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if status, ok := s.refused[path]; ok {
				delete(s.refused, path)
				http.Error(w, "refused", status)
				return
			}
			body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			status, mediaType, answer, err := do(r, body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", mediaType)
			if path == "/api/v1/log/entries" { // the entry's name, which clients look it up by
				w.Header().Set("ETag", last(s.v1).newest)
			}
			w.WriteHeader(status)
			_, _ = w.Write(answer) // to a client that may have gone
		})
	}
	return mux
}

const mediaJSON = "application/json"

func (s *Instance) serveFulcio(r *http.Request, body []byte) (int, string, []byte, error) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var claims struct {
		Sub, Email string
		Exp        int64
	}
	parts := strings.Split(token, ".")
	id, known := s.tokens[token]
	if !known || len(parts) != 3 {
		return 0, "", nil, errors.New("the identity token is not of a known issuer")
	}
	if b, err := base64.RawURLEncoding.DecodeString(parts[1]); err != nil || json.Unmarshal(b, &claims) != nil {
		return 0, "", nil, errors.New("the identity token is broken")
	}
	if s.Now().Unix() > claims.Exp {
		return 0, "", nil, errors.New("the identity token is expired")
	}
	var ask struct {
		PublicKeyRequest struct {
			PublicKey         struct{ Algorithm, Content string }
			ProofOfPossession []byte
		}
	}
	if err := json.Unmarshal(body, &ask); err != nil {
		return 0, "", nil, err
	}
	block, _ := pem.Decode([]byte(ask.PublicKeyRequest.PublicKey.Content))
	if block == nil || block.Type != "PUBLIC KEY" {
		return 0, "", nil, errors.New("no public key")
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return 0, "", nil, err
	}
	subject := claims.Sub
	if claims.Email != "" {
		subject = claims.Email
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(key, sum([]byte(subject)), ask.PublicKeyRequest.ProofOfPossession) {
		return 0, "", nil, errors.New("the signature over the subject does not verify")
	}
	ca := last(s.cas)
	cert, err := ca.issue(id, key, last(s.ctlogs), s.Now())
	if err != nil {
		return 0, "", nil, err
	}
	chain := []string{}
	for _, c := range []*x509.Certificate{cert, ca.intermediate, ca.root} {
		chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	}
	answer, err := json.Marshal(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
	return http.StatusOK, mediaJSON, answer, err
}

func certificate(text []byte) (*x509.Certificate, *ecdsa.PublicKey, error) {
	if block, _ := pem.Decode(text); block != nil {
		text = block.Bytes
	}
	cert, err := x509.ParseCertificate(text)
	if err != nil {
		return nil, nil, err
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, nil, errors.New("want an ECDSA key")
	}
	return cert, key, nil
}

func (s *Instance) serveV1(_ *http.Request, body []byte) (int, string, []byte, error) {
	var ask struct {
		APIVersion, Kind string
		Spec             struct {
			ProposedContent struct {
				Envelope  string
				Verifiers [][]byte
			}
			Data struct {
				Hash struct{ Algorithm, Value string }
			}
			Signature struct {
				Content   []byte
				PublicKey struct{ Content []byte }
			}
		}
	}
	if err := json.Unmarshal(body, &ask); err != nil {
		return 0, "", nil, err
	}
	var stored []byte
	switch ask.Kind + " " + ask.APIVersion {
	case "dsse 0.0.1":
		p := ask.Spec.ProposedContent
		var envelope struct {
			Payload     []byte
			PayloadType string
			Signatures  []struct{ Sig []byte }
		}
		if err := json.Unmarshal([]byte(p.Envelope), &envelope); err != nil || len(envelope.Signatures) != 1 || len(p.Verifiers) != 1 {
			return 0, "", nil, errors.New("want an envelope with one signature and one verifier")
		}
		cert, key, err := certificate(p.Verifiers[0])
		if err != nil {
			return 0, "", nil, err
		}
		sig := envelope.Signatures[0].Sig
		if !ecdsa.VerifyASN1(key, sum(pae(envelope.PayloadType, envelope.Payload)), sig) {
			return 0, "", nil, errors.New("the signature does not verify")
		}
		verifier := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
		if stored, err = bodyDSSE([]byte(p.Envelope), envelope.Payload, base64.StdEncoding.EncodeToString(sig), verifier); err != nil {
			return 0, "", nil, err
		}
	case "hashedrekord 0.0.1":
		digest, err := hex.DecodeString(ask.Spec.Data.Hash.Value)
		if err != nil {
			return 0, "", nil, err
		}
		_, key, err := certificate(ask.Spec.Signature.PublicKey.Content)
		if err != nil {
			return 0, "", nil, err
		}
		if !ecdsa.VerifyASN1(key, digest, ask.Spec.Signature.Content) {
			return 0, "", nil, errors.New("the signature does not verify")
		}
		stored = body
	default:
		return 0, "", nil, errors.New("unknown kind of entry")
	}
	e, err := last(s.v1).append(ask.Kind, ask.APIVersion, stored, s.Now())
	if err != nil {
		return 0, "", nil, err
	}
	answer, err := json.Marshal(e.answered())
	return http.StatusCreated, mediaJSON, answer, err
}

func (s *Instance) serveV2(_ *http.Request, body []byte) (int, string, []byte, error) {
	var ask struct {
		HashedRekordRequestV002 struct {
			Digest    []byte
			Signature struct {
				Content  []byte
				Verifier struct {
					KeyDetails      string
					X509Certificate struct{ RawBytes []byte }
				}
			}
		}
	}
	if err := json.Unmarshal(body, &ask); err != nil {
		return 0, "", nil, err
	}
	r := ask.HashedRekordRequestV002
	cert, key, err := certificate(r.Signature.Verifier.X509Certificate.RawBytes)
	if err != nil {
		return 0, "", nil, err
	}
	if r.Signature.Verifier.KeyDetails != "PKIX_ECDSA_P256_SHA_256" || !ecdsa.VerifyASN1(key, r.Digest, r.Signature.Content) {
		return 0, "", nil, errors.New("the signature does not verify")
	}
	stored, err := bodyV2(cert.Raw, r.Digest, r.Signature.Content, r.Signature.Verifier.KeyDetails)
	if err != nil {
		return 0, "", nil, err
	}
	e, err := last(s.v2).append("hashedrekord", "0.0.2", stored, s.Now())
	if err != nil {
		return 0, "", nil, err
	}
	answer, err := json.Marshal(e.bundled(false, true))
	return http.StatusCreated, mediaJSON, answer, err
}

func (s *Instance) serveStamp(_ *http.Request, body []byte) (int, string, []byte, error) {
	ask, err := timestamp.ParseRequest(body)
	if err != nil {
		return 0, "", nil, err
	}
	a := last(s.stamps)
	t := timestamp.Timestamp{
		HashAlgorithm: ask.HashAlgorithm, HashedMessage: ask.HashedMessage, Nonce: ask.Nonce, Time: s.Now(), Policy: oidPolicy, AddTSACertificate: ask.Certificates,
	}
	answer, err := t.CreateResponseWithOpts(a.signing, a.signingKey, crypto.SHA256)
	return http.StatusCreated, "application/timestamp-reply", answer, err
}

// SigningConfig is the signing_config.json of a client of this instance at a base URL.
func SigningConfig(base string, v2 bool) []byte {
	service := func(version int, path string) map[string]any {
		return map[string]any{"url": base + path, "majorApiVersion": version, "validFor": map[string]any{"start": "2020-01-01T00:00:00Z"}, "operator": "example"}
	}
	logs := []any{service(1, "")}
	if v2 {
		logs = append([]any{service(2, "")}, logs...)
	}
	text, err := json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
		"caUrls":    []any{service(1, "")}, "oidcUrls": []any{}, "rekorTlogUrls": logs, "tsaUrls": []any{service(1, "/api/v1/timestamp")},
		"rekorTlogConfig": map[string]any{"selector": "ANY"}, "tsaConfig": map[string]any{"selector": "ANY"},
	})
	if err != nil {
		panic(err) // texts and numbers
	}
	return text
}
