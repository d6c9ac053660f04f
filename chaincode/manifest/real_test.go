package manifest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// As they are found at registries: what the specifications print, and what
// builders and signers push.
const (
	imageOfOCI = `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": "sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7",
    "size": 7023
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0",
      "size": 32654
    },
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "sha256:3c3a4604a545cdc127456d94e421cd355bca5b528f4a9c1905b15da2eb4a4c6b",
      "size": 16724
    }
  ],
  "subject": {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270",
    "size": 7682
  },
  "annotations": {
    "com.example.key1": "value1",
    "com.example.key2": "value2"
  }
}`
	indexOfBuildx = `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f",
      "size": 7143,
      "platform": {"architecture": "ppc64le", "os": "linux"}
    },
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270",
      "size": 7682,
      "platform": {"architecture": "amd64", "os": "linux", "os.features": ["a"]}
    },
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:94ee1b6cd3a0f12bbf09b2bd9ff26b5d7b1d03dc5c3c1e1db3cb4ad1f0b1f3aa",
      "size": 566,
      "annotations": {"vnd.docker.reference.digest": "sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270", "vnd.docker.reference.type": "attestation-manifest"},
      "platform": {"architecture": "unknown", "os": "unknown"}
    }
  ]
}`
	imageOfDocker = `{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": 1470,
      "digest": "sha256:d2c94e258dcb3c5ac2798d32e1249e42ef01cba4841c2234249495f87264ac5a"
   },
   "layers": [
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 2457,
         "digest": "sha256:c1ec31eb59444d78df06a974d155e597c894ab4cda84f08294145e845394988e",
         "urls": ["https://cdn.example/layer"]
      }
   ]
}`
	listOfDocker = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[
 {"mediaType":"application/vnd.docker.distribution.manifest.v2+json","size":528,"digest":"sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f","platform":{"architecture":"arm","os":"linux","variant":"v7"}}]}`
	signatureOfCosign = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":233,"digest":"sha256:9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0"},
 "layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":210,"digest":"sha256:3c3a4604a545cdc127456d94e421cd355bca5b528f4a9c1905b15da2eb4a4c6b","annotations":{"dev.cosignproject.cosign/signature":"MEUCIQ=="}}]}`
	artifactOfORAS = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/spdx+json",
 "config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},
 "layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],
 "subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270","size":7682}}`
	chartOfHelm = `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:8ec7c0f2f6860037c19b54c3cfbab48d9b4b21b485a93d87b64690fdb68c2111","size":117},
 "layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"sha256:1b251d38cfe948dfc0a5745b7af5ca574ecb61e52aed10b19039db39af6e1617","size":2487}]}`
	schema1 = `{"schemaVersion":1,"name":"hello-world","tag":"latest","architecture":"amd64","fsLayers":[{"blobSum":"sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"}],"history":[{"v1Compatibility":"{}"}],"signatures":[]}`
)

func TestRealManifests(t *testing.T) {
	parse := func(s string) provenance.Digest {
		d, err := provenance.ParseDigest("sha256:" + s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	amd64 := parse("5b0bcabd1ed22e9fb1310cf6c2dec7cdef19f0ad69efa1f392e94a4333501270")
	ppc64 := parse("e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f")
	attest := parse("94ee1b6cd3a0f12bbf09b2bd9ff26b5d7b1d03dc5c3c1e1db3cb4ad1f0b1f3aa")
	for name, c := range map[string]struct {
		body string
		want Facts
	}{
		"OCI image":    {imageOfOCI, Facts{MediaType: OCIManifest, Config: parse("b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7"), Subject: amd64}},
		"index":        {indexOfBuildx, Facts{MediaType: OCIIndex, Children: []provenance.Digest{ppc64, amd64, attest}}},
		"docker image": {imageOfDocker, Facts{MediaType: DockerManifest, Config: parse("d2c94e258dcb3c5ac2798d32e1249e42ef01cba4841c2234249495f87264ac5a")}},
		"docker list":  {listOfDocker, Facts{MediaType: DockerIndex, Children: []provenance.Digest{ppc64}}},
		"signature":    {signatureOfCosign, Facts{MediaType: OCIManifest, Config: parse("9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0")}},
		"artifact":     {artifactOfORAS, Facts{MediaType: OCIManifest, ArtifactType: "application/spdx+json", Config: parse(emptyJSON[len("sha256:"):]), Subject: amd64}},
		"chart, which names no type": {chartOfHelm, Facts{
			MediaType: OCIManifest, ArtifactType: "application/vnd.cncf.helm.config.v1+json", Config: parse("8ec7c0f2f6860037c19b54c3cfbab48d9b4b21b485a93d87b64690fdb68c2111"),
		}},
	} {
		c.want.Size = int64(len(c.body))
		self := provenance.SHA256Of([]byte(c.body))
		for how, read := range map[string]func() (Facts, error){
			"served":    func() (Facts, error) { return Read([]byte(c.body), c.want.MediaType, self) },
			"untyped":   func() (Facts, error) { return Read([]byte(c.body), "", self) },
			"by a hash": func() (Facts, error) { return Hashed([]byte(c.body), self) },
		} {
			got, err := read()
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(provenance.Digest{})); err != nil || diff != "" {
				t.Errorf("%s, %s: %v\n%s", name, how, err, diff)
			}
		}
		if _, err := Read([]byte(c.body+" "), "", self); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("%s with other bytes than its digest's: %v", name, err)
		}
	}
	for name, contentType := range map[string]string{"untyped": "", "served": "application/vnd.docker.distribution.manifest.v1+prettyjws", "called another": DockerManifest} {
		if facts, err := Read([]byte(schema1), contentType, provenance.SHA256Of([]byte(schema1))); provenance.CodeOf(err) != provenance.Invalid {
			t.Errorf("schema 1, %s: %+v, %v", name, facts, err)
		}
	}
}
