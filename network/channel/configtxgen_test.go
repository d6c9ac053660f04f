package channel_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"text/template"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/waybill-dev/waybill/network"
	"github.com/waybill-dev/waybill/network/channel"
	"github.com/waybill-dev/waybill/network/channel/channeltest"
)

// What configtxgen is given: the file it would be asked to read, and what it reads beside it.
type sample struct {
	Host string
	Orgs []sampleOrg
}

type sampleOrg struct {
	ID                    int
	MSPID, Dir            string
	OrdererPort, PeerPort int
}

type principals struct {
	Orgs []sampleOrg
	Role string
}

func (s sample) With(role string) principals { return principals{s.Orgs, role} }
func (s sample) Majority() int               { return len(s.Orgs)/2 + 1 }

const unitsOnly = `NodeOUs:
  Enable: true
  ClientOUIdentifier: {OrganizationalUnitIdentifier: client}
  PeerOUIdentifier: {OrganizationalUnitIdentifier: peer}
  AdminOUIdentifier: {OrganizationalUnitIdentifier: admin}
  OrdererOUIdentifier: {OrganizationalUnitIdentifier: orderer}
`

// Fabric's own program makes the same of the same organisations, with intermediates and revocation lists too,
// but for the time and the nonce that it puts in, and for who may change what others rest on.
func TestFoundIsWhatConfigtxgenMakes(t *testing.T) {
	program, err := network.BuildConfigtxgen(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := sample{Host: "127.0.0.1"}
	var orgs []channel.Descriptor
	for i, name := range []string{"audit", "platform", "security", "vendor"} {
		o := channeltest.New(t, name, 7000+10*i)
		if name == "security" {
			below := o.Enrolment.Below(t, "people of security")
			gone := below.Issue(t)
			o.Descriptor.Intermediates = []string{below.PEM()}
			o.Descriptor.TLSIntermediates = []string{o.TLS.Below(t, "servers of security").PEM()}
			o.Descriptor.RevocationLists = []string{below.Revoke(t, gone.Cert)}
		}
		d, err := channel.Open(o.File(t))
		if err != nil {
			t.Fatal(err)
		}
		orgs = append(orgs, d)
		at := filepath.Join(dir, name)
		writeMSP(t, at, d)
		s.Orgs = append(s.Orgs, sampleOrg{ID: i + 1, MSPID: d.MSPID, Dir: at, OrdererPort: d.Orderer.Port, PeerPort: d.Peer.Port})
	}
	want := configtxgen(t.Context(), t, program, dir, s)
	// It has no word for this: who may change what others rest on in an organisation's groups.
	for _, g := range want.GetConfig().GetChannelGroup().GetGroups()["Application"].GetGroups() {
		g.ModPolicy = "/Channel/Application/Admins"
	}
	for _, g := range want.GetConfig().GetChannelGroup().GetGroups()["Orderer"].GetGroups() {
		g.ModPolicy = "/Channel/Orderer/Admins"
		g.Values["Endpoints"].ModPolicy = "/Channel/Orderer/Admins"
	}

	block, err := channel.Found(channel.Parameters{}, orgs)
	if err != nil {
		t.Fatal(err)
	}
	got := config(t, block)
	if !proto.Equal(got, want) {
		t.Errorf("ours:\n%s\nconfigtxgen's:\n%s", prototext.Format(got), prototext.Format(want))
	}
}

func config(t *testing.T, block *common.Block) *common.ConfigEnvelope {
	t.Helper()
	envelope, payload, out := &common.Envelope{}, &common.Payload{}, &common.ConfigEnvelope{}
	for _, step := range []struct {
		raw  func() []byte
		into proto.Message
	}{
		{func() []byte { return block.GetData().GetData()[0] }, envelope},
		{func() []byte { return envelope.GetPayload() }, payload},
		{func() []byte { return payload.GetData() }, out},
	} {
		if err := proto.Unmarshal(step.raw(), step.into); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func configtxgen(ctx context.Context, t *testing.T, program, dir string, s sample) *common.ConfigEnvelope {
	t.Helper()
	tmpl, err := template.ParseFiles(filepath.Join("testdata", "configtx.yaml.tmpl"))
	if err != nil {
		t.Fatal(err)
	}
	var yaml bytes.Buffer
	if err := tmpl.Execute(&yaml, s); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "configtx.yaml"), yaml.String())
	out := filepath.Join(dir, "genesis.block")
	cmd := exec.CommandContext(ctx, program, "-profile", "Waybill", "-channelID", "waybill", "-outputBlock", out, "-configPath", dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "FABRIC_CFG_PATH=" + dir}
	if log, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	block := &common.Block{}
	if err := proto.Unmarshal(raw, block); err != nil {
		t.Fatal(err)
	}
	return config(t, block)
}

func writeMSP(t *testing.T, at string, d channel.Descriptor) {
	t.Helper()
	for folder, list := range map[string][]string{
		"cacerts": d.Roots, "intermediatecerts": d.Intermediates, "tlscacerts": d.TLSRoots,
		"tlsintermediatecerts": d.TLSIntermediates, "crls": d.RevocationLists,
	} {
		for i, text := range list {
			write(t, filepath.Join(at, "msp", folder, string(rune('a'+i))+".pem"), text)
		}
	}
	write(t, filepath.Join(at, "msp", "config.yaml"), unitsOnly)
	write(t, filepath.Join(at, "identity.pem"), d.Orderer.Identity)
	write(t, filepath.Join(at, "client.pem"), d.Orderer.ClientTLS)
	write(t, filepath.Join(at, "server.pem"), d.Orderer.ServerTLS)
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
