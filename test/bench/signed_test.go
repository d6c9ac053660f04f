package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waybill-dev/waybill/chaincode/evidence"
	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/test/lab"
)

// signing is a signer and what it signed about.
type signing struct {
	l     *lab.Lab
	key   *ecdsa.PrivateKey
	mu    sync.Mutex
	blobs map[provenance.Digest]bool
	made  atomic.Int64
	light *inMemory // where images go instead of the lab's registry
}

// host is the registry that images go to.
func (s *signing) host() string {
	if s.light != nil {
		return s.light.host
	}
	return s.l.Registry
}

// unread is a registry that nobody reads: what is pushed there is recorded by digest.
const unread = "unread.example"

// prepare registers the registries and the key, and makes the gateway's queue.
func (s *signing) prepare(ctx context.Context, light *inMemory) error {
	path := filepath.Join(s.l.Dir, "network", "orgs", lab.Owner, "gateway", "config.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text = bytes.Replace(text, []byte("registries:\n"), fmt.Appendf(nil, "registries:\n  - {host: %q, read_back: false}\n  - {host: %q, insecure: true, allow_private: true}\n", unread, light.host), 1)
	for _, err := range []error{
		os.WriteFile(path, text, 0o600), s.l.QuietRegistry(ctx), s.l.AddRegistry(ctx, s.l.Registry, "distribution", lab.Owner), s.l.AddRegistry(ctx, unread, "distribution", lab.Owner),
		s.l.AddRegistry(ctx, light.host, "distribution", lab.Owner),
		s.register(ctx), s.l.StartGateway(ctx, lab.Owner), s.l.StopGateway(lab.Owner),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *signing) register(ctx context.Context) (err error) {
	if s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		return err
	}
	c, err := s.l.Dial(lab.Owner, "admin")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // what it did is committed
	_, err = c.Submit(ctx, "key:Add", "bench", string(evidence.PublicKey), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "", "")
	return err
}

// signedImage is an image and the artifacts about it, by their digests.
type signedImage struct {
	repo      string
	digest    provenance.Digest
	artifacts []provenance.Digest
	tag       provenance.Tag // of the artifact, in cosign's older layout
}

// layout is how the four pieces about an image stand in the registry.
type layout int

const (
	nowhere   layout = iota // they do not
	referrers               // each in an artifact that refers to the image
	attached                // all in one under the image's .att tag, as cosign attest adds them
)

// images makes images, and puts them with their artifacts into the registry.
func (s *signing) images(ctx context.Context, n int, as layout) ([]signedImage, error) {
	all := make([]signedImage, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, senders)
	for range senders {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				image := signedImage{repo: fmt.Sprintf("signed/app-%d", i%signedRepos)}
				name := fmt.Sprintf("image %d %d", time.Now().UnixNano(), s.made.Add(1))
				var err error
				if image.digest = provenance.SHA256Of([]byte(name)); as != nowhere {
					err = s.push(ctx, &image, name, as)
				}
				if err != nil {
					errs <- err
					return
				}
				all[i] = image
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return nil, err
	default:
		return all, nil
	}
}

// push puts an image and what is signed about it into the registry.
func (s *signing) push(ctx context.Context, image *signedImage, name string, as layout) error {
	empty, err := s.blob(ctx, image.repo, []byte("{}"))
	if err != nil {
		return err
	}
	manifest := map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": empty, "layers": []any{empty}, "annotations": map[string]string{"name": name}}
	if image.digest, err = s.manifest(ctx, image.repo, manifest); err != nil {
		return err
	}
	var layers []any
	for _, envelope := range s.envelopes(image.digest) {
		layer, err := s.blob(ctx, image.repo, envelope)
		if err != nil {
			return err
		}
		layer["mediaType"] = "application/vnd.dsse.envelope.v1+json"
		if as == attached {
			layer["annotations"] = map[string]string{"dev.cosignproject.cosign/signature": ""}
			layers = append(layers, layer)
			continue
		}
		d, err := s.manifest(ctx, image.repo, map[string]any{
			"schemaVersion": 2, "mediaType": manifestType, "artifactType": "application/vnd.in-toto+json", "config": empty, "layers": []any{layer},
			"subject": map[string]any{"mediaType": manifestType, "digest": image.digest.String(), "size": 500},
		})
		if err != nil {
			return err
		}
		image.artifacts = append(image.artifacts, d)
	}
	if as == attached {
		d, err := s.manifest(ctx, image.repo, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": empty, "layers": layers})
		if err != nil {
			return err
		}
		image.artifacts = append(image.artifacts, d)
		image.tag = provenance.Tag(strings.Replace(image.digest.String(), ":", "-", 1) + ".att")
	}
	return nil
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func (s *signing) manifest(ctx context.Context, repo string, m map[string]any) (provenance.Digest, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return provenance.Digest{}, err
	}
	d := provenance.SHA256Of(b)
	if s.light != nil {
		s.light.put(repo, "manifests", manifestType, b)
		return d, nil
	}
	_, err = request(ctx, http.MethodPut, fmt.Sprintf("http://%s/v2/%s/manifests/%s", s.l.Registry, repo, d), manifestType, b)
	return d, err
}

// blob uploads bytes, those that every image has once, and describes them.
func (s *signing) blob(ctx context.Context, repo string, b []byte) (map[string]any, error) {
	d := provenance.SHA256Of(b)
	described := map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": d.String(), "size": len(b)}
	if s.light != nil {
		s.light.put(repo, "blobs", "application/octet-stream", b)
		return described, nil
	}
	once := provenance.SHA256Of([]byte(repo + d.String()))
	s.mu.Lock()
	there := s.blobs[once]
	s.mu.Unlock()
	if there {
		return described, nil
	}
	resp, err := request(ctx, http.MethodPost, fmt.Sprintf("http://%s/v2/%s/blobs/uploads/", s.l.Registry, repo), "", nil)
	if err != nil {
		return nil, err
	}
	location, err := resp.Location()
	if err != nil {
		return nil, err
	}
	q := location.Query()
	q.Set("digest", d.String())
	location.RawQuery = q.Encode()
	if _, err := request(ctx, http.MethodPut, location.String(), "application/octet-stream", b); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[once] = true
	return described, nil
}

func request(ctx context.Context, method, url, contentType string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	return resp, nil
}

// envelopes are four signed statements about an image, of 1 to 4 KiB.
func (s *signing) envelopes(d provenance.Digest) [][]byte {
	var packages []string
	for i := range 12 {
		packages = append(packages, fmt.Sprintf(`{"SPDXID":"SPDXRef-%d","name":"package-%d","versionInfo":"1.%d.0","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:golang/example.com/package-%d@1.%d.0"}]}`, i, i, i, i, i))
	}
	serial := s.made.Add(1)
	var all [][]byte
	for typ, predicate := range map[string]string{
		"https://spdx.dev/Document": fmt.Sprintf(`{"spdxVersion":"SPDX-2.3","name":"app-%d","packages":[%s]}`, serial, strings.Join(packages, ",")),
		"https://slsa.dev/provenance/v1": fmt.Sprintf(`{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":{"ref":"refs/heads/main","repository":"https://git.example/team/app","path":".github/workflows/release.yml"}},"resolvedDependencies":[{"uri":"git+https://git.example/team/app@refs/heads/main","digest":{"gitCommit":"%040x"}}]},"runDetails":{"builder":{"id":"https://git.example/builder"},"metadata":{"invocationId":"https://git.example/runs/%d"}}}`,
			serial, serial),
		"https://in-toto.io/attestation/test-result/v0.1": fmt.Sprintf(`{"result":"PASSED","configuration":[],"passedTests":["unit","run %d"]}`, serial),
		"https://cosign.sigstore.dev/attestation/vuln/v1": fmt.Sprintf(`{"invocation":{"uri":"run %d"},"scanner":{"uri":"trivy","version":"0.68.1","result":{"SchemaVersion":2,"ArtifactName":"app","ArtifactType":"container_image","Trivy":{"Version":"0.68.1"},"Results":[{"Target":"app","Class":"lang-pkgs","Type":"gobinary","Vulnerabilities":[%s]}]}},"metadata":{"scanStartedOn":"2026-01-02T08:00:00Z","scanFinishedOn":"2026-01-02T08:01:00Z"}}`, serial, findings(6)),
	} {
		all = append(all, s.sign(fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":"%s"}}],"predicateType":"%s","predicate":%s}`,
			strings.TrimPrefix(d.String(), "sha256:"), typ, predicate)))
	}
	return all
}

func findings(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"VulnerabilityID":"CVE-2025-%04d","PkgName":"package-%d","InstalledVersion":"1.0.0","FixedVersion":"1.0.%d","Severity":"LOW"}`, 1000+i, i, i+1))
	}
	return strings.Join(all, ",")
}

// sign wraps a statement in a DSSE envelope.
func (s *signing) sign(statement []byte) []byte {
	const payloadType = "application/vnd.in-toto+json"
	sum := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(statement), statement))
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		panic(err) // the key is our own
	}
	b, err := json.Marshal(map[string]any{"payloadType": payloadType, "payload": statement, "signatures": []any{map[string]any{"sig": signature}}})
	if err != nil {
		panic(err) // of texts and bytes
	}
	return b
}
