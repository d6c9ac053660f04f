package intake

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/network"
)

// What people's own programs do to a registry holds up nothing either.
func TestProgramsHoldUpNothing(t *testing.T) {
	tools, err := network.BuildRegistryTools(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := network.BuildSigningTools(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	w := startWorld(t, tools.Registry)
	p := programs{t: t, home: t.TempDir(), path: map[string]string{"crane": tools.Crane, "oras": signing.ORAS, "cosign": signing.Cosign}}
	p.prepare()
	host := strings.TrimPrefix(w.base, "http://")
	for i, line := range programLines() {
		p.run(strings.ReplaceAll(line, "REG", host))
		if err := w.ordinary(provenance.Tag(fmt.Sprintf("after-%d", i))); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	t.Logf("%d commands, %d events, %d of them kept as unusable", len(programLines()), w.seen, len(w.kept()))
	w.reopened()
}

// programLines are commands of real clients, in the order in which each finds what it needs.
func programLines() []string {
	return []string{
		"crane append --insecure -f layer.tar -t REG/team/p:1",
		"crane append --insecure -f layer.tar -t REG/elsewhere/p:1",
		"crane mutate REG/team/p:1 --insecure --annotation Odd=1 --annotation odd=2 --annotation ODD=3 -t REG/team/p:annotated",
		"crane mutate REG/team/p:1 --insecure --label Vendor=1 --label vendor=2 -t REG/team/p:labelled",
		"crane mutate REG/team/p:1 --insecure --annotation a=LARGE -t REG/team/p:large",
		"crane tag --insecure REG/team/p:1 " + strings.Repeat("t", 128),
		"crane copy --insecure REG/team/p:1 REG/team/deep/deeper/deepest/p:1",
		"crane copy --insecure REG/team/p:1 REG/elsewhere/copy:1",
		"crane copy --insecure REG/elsewhere/p:1 REG/team/from-outside:1",
		"crane index append --insecure -m REG/team/p:1 -m REG/team/p:annotated -t REG/team/p:index",
		"crane index append --insecure -t REG/team/p:empty-index",
		"crane flatten --insecure REG/team/p:1 -t REG/team/p:flat",
		"crane pull --insecure REG/team/p:1 pulled.tar",
		"crane pull --insecure --format oci REG/team/p:index pulled",
		"crane push --insecure pulled.tar REG/team/pushed:again",
		"crane ls --insecure REG/team/p",
		"crane digest --insecure REG/team/p:1",
		"crane validate --insecure --remote REG/team/p:1",
		"oras push --plain-http REG/team/o:1 small.txt:text/plain",
		"oras push --plain-http REG/team/o:annotated --annotation Key=1 --annotation key=2 small.txt:text/plain",
		"oras push --plain-http REG/team/o:large --annotation key=LARGE small.txt:text/plain",
		"oras push --plain-http REG/team/o:parts MANY",
		"oras push --plain-http REG/team/o:nothing --artifact-type application/vnd.example.nothing",
		"oras push --plain-http --disable-path-validation REG/team/o:empty empty.txt:text/plain",
		"oras attach --plain-http --artifact-type application/vnd.example.note REG/team/p:1 small.txt:text/plain",
		"oras attach --plain-http --artifact-type application/vnd.example.note REG/team/p:index small.txt:text/plain",
		"oras cp --from-plain-http --to-plain-http -r REG/team/p:1 REG/team/copied:1",
		"oras cp --from-plain-http --to-plain-http REG/team/o:1 REG/elsewhere/o:1",
		"oras tag --plain-http REG/team/o:1 another and-another",
		"oras blob push --plain-http REG/team/o small.txt",
		"oras blob push --plain-http REG/team/o empty.txt",
		"oras discover --plain-http REG/team/p:1",
		"oras pull --plain-http --output out REG/team/o:1",
		"oras manifest delete --plain-http --force REG/team/o:another",
		"oras manifest delete --plain-http --force REG/team/o:annotated",
		"cosign sign --key c.key --use-signing-config=false --tlog-upload=false --new-bundle-format=false --allow-http-registry REG/team/p:1",
		"cosign sign --key c.key --use-signing-config=false --tlog-upload=false --new-bundle-format=true --allow-http-registry REG/team/p:index",
		"cosign attest --key c.key --use-signing-config=false --tlog-upload=false --new-bundle-format=false --allow-http-registry --type custom --predicate big.json REG/team/p:1",
		"cosign sign --key c.key -a Odd=1 -a odd=2 --use-signing-config=false --tlog-upload=false --new-bundle-format=false --allow-http-registry REG/team/p:flat",
		"cosign copy --allow-http-registry REG/team/p:1 REG/team/signed:1",
		"cosign clean --allow-http-registry --force --type signature REG/team/p:1",
		"crane delete --insecure REG/team/p:large@DIGEST",
	}
}

// programs runs commands with a home of their own.
type programs struct {
	t    *testing.T
	home string
	path map[string]string
}

func (p *programs) prepare() {
	p.t.Helper()
	for name, text := range map[string]string{
		"small.txt": "small", "empty.txt": "", "big.json": `{"padding":"` + strings.Repeat("x", 200<<10) + `"}`,
	} {
		p.write(name, text)
	}
	for i := range 60 {
		p.write(fmt.Sprintf("part-%02d", i), fmt.Sprint(i))
	}
	if out, err := p.command("tar", "-cf", "layer.tar", "small.txt").CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
	p.run("cosign generate-key-pair --output-key-prefix c")
}

func (p *programs) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.home, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *programs) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(p.t.Context(), program, args...)
	cmd.Dir = p.home
	cmd.Env = append(os.Environ(), "HOME="+p.home, "COSIGN_PASSWORD=", "COSIGN_YES=true")
	return cmd
}

// run runs a line. LARGE is 100,000 letters, MANY 60 files, NAME:TAG@DIGEST the digest of that tag.
func (p *programs) run(line string) {
	p.t.Helper()
	var args []string
	for _, word := range strings.Fields(line) {
		switch reference, isDigest := strings.CutSuffix(word, "@DIGEST"); {
		case isDigest:
			out, err := p.command(p.path["crane"], "digest", "--insecure", "--full-ref", reference).Output()
			if err != nil {
				p.t.Fatalf("%s: %v", reference, err)
			}
			args = append(args, strings.TrimSpace(string(out)))
		case word == "MANY":
			for i := range 60 {
				args = append(args, fmt.Sprintf("part-%02d:text/plain", i))
			}
		default:
			args = append(args, strings.ReplaceAll(word, "LARGE", strings.Repeat("x", 100_000)))
		}
	}
	if out, err := p.command(p.path[args[0]], args[1:]...).CombinedOutput(); err != nil {
		p.t.Fatalf("%.200s: %v\n%s", line, err, out)
	}
}
