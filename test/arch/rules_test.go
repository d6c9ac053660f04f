package arch

import (
	"fmt"
	"slices"
	"strings"
)

// layer is a floor of the gateway. A package imports, of the gateway, only what
// lies on lower floors; a package no floor has is itself a failure, so that a new
// room is put on the plan before it is lived in. Closets (gateway/api/waybillv1)
// belong to their room.
type layer struct {
	name  string
	rooms []string
}

// layers are the gateway's floors, the lowest first.
func layers() []layer {
	return []layer{
		{"vocabulary: what several rooms speak of", []string{"gateway/block", "gateway/delivery", "gateway/findings", "gateway/readmodel", "gateway/selftest"}},
		{"small helps", []string{"gateway/keypair", "gateway/secretfile", "gateway/sqldb", "gateway/statefile", "gateway/wait"}},
		{"adapters: one door each", []string{"gateway/api", "gateway/connlimit", "gateway/index", "gateway/intake", "gateway/ledger", "gateway/queue", "gateway/registry"}},
		{"what loops are fed by", []string{"gateway/follow", "gateway/metrics", "gateway/tasks"}},
		{"loops", []string{"gateway/autorelease", "gateway/clock", "gateway/collect", "gateway/connector", "gateway/fsck", "gateway/proofs", "gateway/prove", "gateway/pullclients", "gateway/record", "gateway/sweep", "gateway/witness"}},
		{"the whole", []string{"gateway"}},
	}
}

// floor returns where a package of the gateway is, counted from below.
func floor(pkg string) (level int, room string) {
	for i, l := range layers() {
		for _, r := range l.rooms {
			if pkg == r || r != "gateway" && within(pkg, r) {
				return i, r
			}
		}
	}
	return -1, ""
}

// allowed says which of our packages one outside of the gateway may import
// directly. The first entry that matches holds.
type allowed struct {
	from string
	to   []string
}

// vocabulary of the chaincode, which everything speaks.
func vocabulary() []string {
	return []string{"chaincode/provenance", "chaincode/policy", "chaincode/state"}
}

func directions() []allowed {
	return []allowed{
		{"chaincode/provenance", nil},
		{"chaincode/strictjson", []string{"chaincode/provenance"}},
		{"chaincode/manifest", []string{"chaincode/provenance", "chaincode/strictjson"}},
		{"chaincode/policy", []string{"chaincode/provenance", "chaincode/strictjson", "chaincode/policy"}},
		{"chaincode/sigstore/sigstoretest", nil},
		{"chaincode/sigstore", []string{"chaincode/provenance", "chaincode/strictjson"}},
		{"chaincode/evidence", []string{"chaincode/provenance", "chaincode/sigstore", "chaincode/strictjson"}},
		{"chaincode/state/packed", []string{"chaincode/provenance"}},
		{"chaincode/state", append(vocabulary(), "chaincode/manifest", "chaincode/policy/policytest")},
		{"chaincode/contract", append(vocabulary(), "chaincode/evidence", "chaincode/manifest", "chaincode/sigstore", "chaincode/strictjson")},
		// What the gateway's rooms may know of the chaincode; of each other: layers.
		{"gateway", append(vocabulary(), "chaincode/evidence", "chaincode/manifest", "chaincode/strictjson", "gateway", "proof")},
		// Founds a consortium on a network just made.
		{"network/provision", append(vocabulary(), "gateway/ledger", "network")},
		// The network starts built binaries; it does not link them.
		{"network", append(vocabulary(), "network")},
		{"cmd/waybill-chaincode", append(vocabulary(), "chaincode/contract", "cmd/waybill-chaincode")},
		{"cmd/waybill-gateway", append(vocabulary(), "gateway", "cmd/waybill-gateway", "cmd/reference")},
		{"cmd/waybill", append(vocabulary(), "chaincode/evidence", "chaincode/sigstore", "gateway", "network", "cmd/waybill", "cmd/reference", "cmd/signer", "proof")},
		{"proof", nil},
		{"cmd/waybill-verify", []string{"proof"}},
		{"cmd/reference", []string{"cmd/reference"}},
		{"cmd/signer", []string{"chaincode/provenance"}},
		{"test", append(vocabulary(), "chaincode/contract", "chaincode/evidence", "gateway", "network", "proof", "test")},
	}
}

// door says who may import a dependency directly: one package, so that its
// replacement is the work of one room.
type door struct {
	dependency string
	through    []string
}

func doors() []door {
	// Tests may hold the other end of a protocol: a client that pushes images,
	// a peer that is asked what it wrote.
	return []door{
		{"github.com/hyperledger/fabric-gateway", []string{"gateway/ledger", "network", "test"}},
		{"github.com/hyperledger/fabric-admin-sdk", []string{"network"}},
		{"github.com/hyperledger/fabric-contract-api-go", []string{"chaincode/contract", "cmd/waybill-chaincode"}},
		{"github.com/hyperledger/fabric-chaincode-go", []string{"chaincode/contract", "cmd/waybill-chaincode"}},
		{"github.com/google/go-containerregistry", []string{"gateway/registry", "test"}},
		{"github.com/go-jose/go-jose", []string{"gateway/intake"}},
		{"github.com/grpc-ecosystem/grpc-gateway", []string{"gateway/api"}},
		{"github.com/notaryproject/tspclient-go", []string{"chaincode/sigstore"}},
		{"github.com/transparency-dev/merkle", []string{"chaincode/sigstore"}},
		{"github.com/sigstore/sigstore", []string{"cmd/signer"}},
		{"github.com/digitorus", []string{"test"}},
		{"golang.org/x/term", []string{"cmd/waybill"}},
		{"github.com/youmark/pkcs8", []string{"network/org"}},
		{"cel.dev/cel-go", []string{"chaincode/policy"}},
		{"go.yaml.in/yaml", []string{"chaincode/policy"}},
		{"github.com/package-url/packageurl-go", []string{"chaincode/evidence"}},
		{"github.com/veraison/go-cose", []string{"chaincode/evidence"}},
		{"github.com/fxamacker/cbor", []string{"chaincode/evidence"}},
		{"github.com/jackc/pgx", []string{"gateway/sqldb", "test"}},
		{"database/sql", []string{"gateway/sqldb", "gateway/queue", "gateway/index", "test"}},
		{"modernc.org/sqlite", []string{"gateway/sqldb", "test"}},
		{"github.com/prometheus/client_golang", []string{"gateway/metrics", "test"}},
		{"filippo.io/age", []string{"network/backup"}},
		{"github.com/spf13/viper", []string{"cmd"}},
		{"github.com/spf13/cobra", []string{"cmd"}},
	}
}

// wall says what must stay out of a package even through others.
type wall struct {
	from   string
	except string
	never  []string
	why    string
}

func walls() []wall {
	return []wall{
		{"chaincode", "", []string{full("gateway"), full("network"), full("cmd"), "database/sql", "github.com/google/go-containerregistry"},
			"an on-chain reviewer reads only chaincode/"},
		{"gateway", "", []string{full("network"), full("chaincode/contract"), "github.com/spf13/viper", "github.com/spf13/cobra"},
			"the gateway is configured by a plain struct and never runs the contract"},
		{"cmd/waybill-chaincode", "", []string{full("gateway"), full("network")},
			"what is endorsed links nothing but the chaincode"},
		{"cmd/waybill-chaincode", "", []string{"github.com/sigstore"},
			"what is endorsed verifies by itself; the others' verifier is its oracle (test/sigstore/oracle)"},
		{"proof", "", []string{full("chaincode"), full("gateway"), full("network"), full("cmd"), "net/http", "os/exec", "google.golang.org/grpc"},
			"whoever checks a proof trusts this package, and nothing else of ours"},
		{"cmd/waybill-verify", "", []string{"net/http", "os/exec", "google.golang.org/grpc"},
			"a proof is checked without a network"},
		{"cmd/waybill-gateway", "", []string{full("network")},
			"a gateway in production knows no development network"},
	}
}

// breaches returns every broken rule as a readable text.
func breaches(g graph) []string {
	var out []string
	for _, pkg := range g.ours() {
		name := full(pkg)
		if problem := g[name].problem; problem != "" {
			out = append(out, fmt.Sprintf("%s: %s", pkg, problem))
		}
		out = append(out, breachedDirections(g, pkg)...)
		out = append(out, breachedLayers(g, pkg)...)
		for _, d := range doors() {
			for _, imported := range g[name].imports {
				if within(imported, d.dependency) && !withinAny(pkg, d.through) {
					out = append(out, fmt.Sprintf("one door: only %s may import %s\n\t%s",
						strings.Join(d.through, ", "), d.dependency, arrows([]string{pkg, imported})))
				}
			}
		}
		for _, w := range walls() {
			if !within(pkg, w.from) || w.except != "" && within(pkg, w.except) {
				continue
			}
			if chain := g.path(name, func(p string) bool { return withinAny(p, w.never) }); chain != nil {
				out = append(out, fmt.Sprintf("%s must not reach this (%s)\n\t%s", w.from, w.why, arrows(chain)))
			}
		}
		if withinAny(pkg, []string{"chaincode/provenance", "chaincode/policy", "chaincode/evidence", "chaincode/manifest", "chaincode/sigstore", "chaincode/state", "chaincode/strictjson"}) {
			// Conditions are CEL, a policy's text is YAML, packages are named by package URLs,
			// Notary signatures may be COSE, a timestamp is CMS: what is behind those doors
			// was chosen once (docs/decisions).
			chosen := []string{
				module, "cel.dev/cel-go", "go.yaml.in/yaml", "github.com/package-url/packageurl-go", "github.com/veraison/go-cose", "github.com/fxamacker/cbor",
				"github.com/notaryproject/tspclient-go", "github.com/transparency-dev/merkle",
			}
			foreign := func(p string) bool {
				n, known := g[p]
				return known && !n.standard && !withinAny(p, chosen)
			}
			behind := func(p string) bool { return withinAny(p, []string{"cel.dev/cel-go", "github.com/fxamacker/cbor"}) }
			if chain := g.path(name, foreign); chain != nil && !slices.ContainsFunc(chain, behind) {
				out = append(out, "the vocabulary and the rules speak the standard library and the libraries chosen for them only\n\t"+arrows(chain))
			}
		}
		if within(pkg, "proof") || within(pkg, "cmd/waybill-verify") {
			for p := range reached(g, name) {
				if n, known := g[p]; known && !n.standard && !within(p, module) && !within(p, "google.golang.org/protobuf/encoding/protowire") && !within(p, "google.golang.org/protobuf/internal") {
					out = append(out, pkg+": the standard library and protowire only, not "+p)
				}
			}
			for _, imported := range g[name].imports {
				if within(imported, "net") || pkg == "proof" && withinAny(imported, []string{"os", "log", "math/rand"}) {
					out = append(out, pkg+": no network, no files and no chance here: "+imported)
				}
			}
		}
		if last := pkg[strings.LastIndexByte(pkg, '/')+1:]; slices.Contains(bannedNames(), last) && pkg != "test/model" { // that one does hold a model
			out = append(out, fmt.Sprintf("%s: a package is named after what it holds, not %q", pkg, last))
		}
	}
	return out
}

// breachedLayers returns the imports of a package of the gateway that do not lead
// to a lower floor.
func breachedLayers(g graph, pkg string) []string {
	if !within(pkg, "gateway") {
		return nil
	}
	level, room := floor(pkg)
	if level < 0 {
		return []string{pkg + ": this package is on no floor; add it to layers() and to docs/ARCHITECTURE.md"}
	}
	var out []string
	for _, imported := range g[full(pkg)].imports {
		if !within(imported, full("gateway")) {
			continue
		}
		to, other := floor(short(imported))
		if other != room && to >= level {
			out = append(out, fmt.Sprintf("layers: %q imports only what lies below it\n\t%s", layers()[level].name, arrows([]string{pkg, short(imported)})))
		}
	}
	return out
}

func breachedDirections(g graph, pkg string) []string {
	rules := directions()
	at := slices.IndexFunc(rules, func(a allowed) bool { return within(pkg, a.from) })
	if at < 0 {
		return []string{pkg + ": this package is not on the plan; add it to directions() and to docs/ARCHITECTURE.md"}
	}
	var out []string
	for _, imported := range g[full(pkg)].imports {
		if within(imported, module) && !withinAny(short(imported), rules[at].to) {
			out = append(out, fmt.Sprintf("direction: %s may import of ours only [%s]\n\t%s",
				rules[at].from, strings.Join(rules[at].to, " "), arrows([]string{pkg, short(imported)})))
		}
	}
	return out
}

func bannedNames() []string {
	return []string{"util", "utils", "common", "helper", "helpers", "types", "model", "models", "manager", "managers",
		"interfaces", "ports", "shared", "misc", "base", "lib", "core"}
}

// reached are the packages that a package is built of.
func reached(g graph, from string) map[string]bool {
	all, next := map[string]bool{}, []string{from}
	for len(next) > 0 {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		if all[at] {
			continue
		}
		all[at] = true
		next = append(next, g[at].imports...)
	}
	return all
}
