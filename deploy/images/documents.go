package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	mediaSBOM      = "application/vnd.cyclonedx+json"
	mediaStatement = "application/vnd.in-toto+json"
	predicateSLSA  = "https://slsa.dev/provenance/v1"
	buildType      = "https://github.com/waybill-dev/waybill/blob/main/docs/operate/containers.md"
)

// documents makes what is said about an image: what is in it, and what it was built from.
func (p program) documents(o options, platform v1.Platform, subject v1.Descriptor, infos []*buildinfo.BuildInfo) ([]artifact, error) {
	modules, goVersion := modulesOf(infos, p.web)
	bom, err := p.sbom(o, subject, modules, goVersion)
	if err != nil {
		return nil, fmt.Errorf("SBOM: %w", err)
	}
	statement, predicate, err := p.provenance(o, platform, subject, modules, goVersion)
	if err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	inventory, err := refer(subject, kindSBOM, mediaSBOM, bom, bom, nil)
	if err != nil {
		return nil, err
	}
	origin, err := refer(subject, kindProvenance, mediaStatement, predicate, statement, map[string]string{"in-toto.io/predicate-type": predicateSLSA})
	return []artifact{inventory, origin}, err
}

// modulesOf lists the modules that Go says the binaries were built from, each once.
func modulesOf(infos []*buildinfo.BuildInfo, web bool) (modules []debug.Module, goVersion string) {
	seen := map[string]bool{}
	add := func(m debug.Module) {
		if m.Replace != nil {
			m = *m.Replace
		}
		if key := m.Path + "@" + m.Version; m.Path != "" && !seen[key] {
			seen[key] = true
			modules = append(modules, m)
		}
	}
	for _, info := range infos {
		goVersion = strings.TrimPrefix(info.GoVersion, "go")
		for _, d := range info.Deps {
			add(*d)
		}
	}
	if web {
		if own, ok := debug.ReadBuildInfo(); ok {
			for _, d := range own.Deps {
				if d.Path == rootsModule {
					add(*d)
				}
			}
		}
	}
	slices.SortFunc(modules, func(a, b debug.Module) int {
		return strings.Compare(a.Path+"@"+a.Version, b.Path+"@"+b.Version)
	})
	return modules, goVersion
}

// rootsModule is where the public roots come from, which are in no binary.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

func (p program) sbom(o options, subject v1.Descriptor, modules []debug.Module, goVersion string) ([]byte, error) {
	components := []cdx.Component{
		library("stdlib", goVersion),
		{Type: cdx.ComponentTypeApplication, BOMRef: p.name, Name: p.name, Version: o.version, Description: p.title},
	}
	refs := []string{components[0].BOMRef, components[1].BOMRef}
	for _, m := range modules {
		c := library(m.Path, m.Version)
		if m.Sum != "" {
			c.Properties = &[]cdx.Property{{Name: "golang:sum", Value: m.Sum}}
		}
		components = append(components, c)
		refs = append(refs, c.BOMRef)
	}
	root := "pkg:oci/" + p.name + "@" + strings.Replace(subject.Digest.String(), ":", "%3A", 1)
	bom := cdx.NewBOM()
	// Named by what it is about: the same image, the same document.
	id := sha256.Sum256([]byte(root))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	bom.Metadata = &cdx.Metadata{
		Timestamp: o.created.Format("2006-01-02T15:04:05Z"),
		Component: &cdx.Component{
			Type: cdx.ComponentTypeContainer, BOMRef: root, Name: p.name, Version: subject.Digest.String(), PackageURL: root,
		},
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: root, Dependencies: &refs}}
	var out bytes.Buffer
	encoder := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON)
	err := encoder.SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return out.Bytes(), err
}

func library(path, version string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: purl, Name: path, Version: version, PackageURL: purl}
}

// provenance returns the statement and its predicate. It names no time and no run: what was built
// from what is the same whenever it is built.
func (p program) provenance(o options, platform v1.Platform, subject v1.Descriptor, modules []debug.Module, goVersion string) (statement, predicate []byte, err error) {
	external, err := structpb.NewStruct(map[string]any{
		"image": p.name, "platform": platform.String(), "version": o.version, "sourceDateEpoch": float64(o.created.Unix()),
	})
	if err != nil {
		return nil, nil, err
	}
	internal, err := structpb.NewStruct(map[string]any{"go": goVersion, "cgo": false})
	if err != nil {
		return nil, nil, err
	}
	source := &intoto.ResourceDescriptor{Uri: "git+" + o.origin, Name: "source"}
	if o.commit != "" {
		source.Digest = map[string]string{"gitCommit": o.commit}
	}
	dependencies := []*intoto.ResourceDescriptor{source}
	for _, m := range modules {
		d := &intoto.ResourceDescriptor{Uri: library(m.Path, m.Version).PackageURL}
		if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) == sha256.Size {
			d.Digest = map[string]string{"dirHash": hex.EncodeToString(sum)}
		}
		dependencies = append(dependencies, d)
	}
	said := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{
			BuildType: buildType, ExternalParameters: external, InternalParameters: internal, ResolvedDependencies: dependencies,
		},
		RunDetails: &slsa.RunDetails{Builder: &slsa.Builder{Id: o.builder}},
	}
	if predicate, err = canonical(said); err != nil {
		return nil, nil, err
	}
	body := &structpb.Struct{}
	if err := protojson.Unmarshal(predicate, body); err != nil {
		return nil, nil, err
	}
	whole := &intoto.Statement{
		Type:          intoto.StatementTypeUri,
		Subject:       []*intoto.ResourceDescriptor{{Name: p.name, Digest: map[string]string{"sha256": subject.Digest.Hex}}},
		PredicateType: predicateSLSA, Predicate: body,
	}
	if err := whole.Validate(); err != nil {
		return nil, nil, err
	}
	statement, err = canonical(whole)
	return statement, predicate, err
}

// canonical encodes a message as JSON that is the same each time: protojson's is not, on purpose.
func canonical(m proto.Message) ([]byte, error) {
	raw, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var any any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&any); err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(any, "", "  ")
	return append(out, '\n'), err
}
