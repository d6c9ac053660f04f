package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/delivery"
	"github.com/waybill-dev/waybill/gateway/intake"
	"github.com/waybill-dev/waybill/gateway/selftest"
)

// sampleTime is how long the hook may take for one sample, lookTime the
// registry. Three samples and a look fit into an API call.
const (
	sampleTime = 6 * time.Second
	lookTime   = 8 * time.Second
)

// Registry says what a tag names.
type Registry interface {
	Resolve(ctx context.Context, repo provenance.Repository, tag provenance.Tag) (provenance.Digest, error)
}

// SelfTest sends samples to this gateway's own hook, over the wire: what a sample
// passes, a registry's notification passes too, but for the network between
// them. What it delivers is written and synced like any event and taken back in
// the same commit, so that no sample can come to be on the ledger.
type SelfTest struct {
	Hooks      string // address before /hooks/
	Client     *http.Client
	Handler    *intake.Handler
	Registries func(host provenance.Host) (reader Registry, configured, readBack bool)
}

// Test implements api.Connectors.
func (c *Connectors) Test(ctx context.Context, name string, repository provenance.Repository) (selftest.Test, error) {
	i := slices.IndexFunc(c.All, func(one intake.Connector) bool { return one.Name == name })
	if i < 0 {
		return selftest.Test{}, provenance.Errorf(provenance.NotFound, "no connector of the name %q", name)
	}
	test, err := c.Handler.SelfTest(name)
	if err != nil {
		return selftest.Test{}, err
	}
	defer test.Close()
	r := &attempt{SelfTest: c.SelfTest, connector: c.All[i], test: test}
	r.all(ctx, repository)
	out := selftest.Test{
		Connector: c.describe(r.connector), Outcome: selftest.Recorded, Steps: r.steps, Settings: intake.Settings(r.connector, "https://<this gateway>"),
	}
	if r.failed {
		out.Outcome = selftest.Failed
	}
	return out, nil
}

// attempt is one test.
type attempt struct {
	SelfTest
	connector intake.Connector
	test      *intake.SelfTest
	push      provenance.Event
	steps     []selftest.Step
	failed    bool
}

func (r *attempt) step(name, result, detail, advice string) {
	r.failed = r.failed || result == selftest.StepFailed
	r.steps = append(r.steps, selftest.Step{Name: name, Result: result, Detail: detail, Advice: advice})
}

// all goes the way of a notification until a step fails.
func (r *attempt) all(ctx context.Context, repository provenance.Repository) {
	for _, step := range []func(context.Context){
		func(ctx context.Context) { r.sample(ctx, repository) }, r.wrongSecret, r.notify, r.repeat, r.look,
	} {
		if step(ctx); r.failed {
			return
		}
	}
}

func (r *attempt) sample(ctx context.Context, repository provenance.Repository) {
	push, err := r.test.Push(ctx, repository)
	if err == nil {
		_, err = r.test.Request(ctx, r.Hooks, push) // tells what cannot be said before anything is sent
	}
	if err != nil {
		advice := "name a repository that the connector may speak of: --repository"
		if len(r.connector.Secrets) == 0 {
			advice = "let the cloud send one: docs/guides/" + r.connector.Kind + ".md, \"Try it\""
		}
		r.step("sample", selftest.StepFailed, messageOf(err), advice)
		return
	}
	r.push = push
	r.step("sample", selftest.StepOK, fmt.Sprintf("push of %s/%s:%s, which nobody made", r.connector.Host, push.Repository, push.Tag), "")
}

// wrongSecret sends the sample with a guessed secret. It comes first, so that a
// program that has our port learns no good one.
func (r *attempt) wrongSecret(ctx context.Context) {
	got, err := r.send(ctx, r.test.WithWrongSecret)
	if err == nil && r.test.Stage() == intake.StageSent {
		err = provenance.Errorf(provenance.Unavailable, "something else answers at %s: %s", r.Hooks, got)
	}
	if err != nil {
		r.step("hook", selftest.StepFailed, messageOf(err), "see hooks.listen, hooks.tls_cert and hooks.tls_key of the gateway's configuration, and that nothing else has the port")
		return
	}
	r.step("hook", selftest.StepOK, r.Hooks+intake.Prefix+r.connector.Name+" answers", "")
	if got.status != http.StatusUnauthorized {
		r.step("stranger", selftest.StepFailed, "the same with a guessed secret: "+got.String(), "anybody could forge events: take the gateway off the network, and report this as a defect")
		return
	}
	r.step("stranger", selftest.StepOK, "the same with a guessed secret is refused: "+got.String(), "")
}

// notify sends the sample as the registry would, and tells how far it came.
func (r *attempt) notify(ctx context.Context) {
	got, err := r.send(ctx, r.test.Request)
	if err != nil {
		r.step("hook", selftest.StepFailed, messageOf(err), "try again")
		return
	}
	said := ""
	if d := r.test.Deliveries(); len(d) > 0 {
		said = readAs(d[0])
	}
	for _, s := range []struct {
		stage                intake.Stage
		name, detail, advice string
	}{
		{intake.StageKnown, "authentication", r.connector.Proof() + ", accepted", "compare the secret_files of connector " + r.connector.Name + " with what the registry was given"},
		{intake.StageUnderstood, "notification", "read", "this kind cannot name that repository: --repository names another one"},
		{intake.StageAllowed, "repositories", "the connector may speak of " + string(r.push.Repository), "add it to repositories of connector " + r.connector.Name + ", or name another one with --repository"},
		{intake.StageStored, "queue", "written and synced as an event is, and taken back: recorded as a test, not on the ledger", "the gateway's log says why; see waybill status, and free disk or queue"},
	} {
		switch {
		case r.test.Stage() < s.stage:
			r.step(s.name, selftest.StepFailed, got.String(), s.advice)
			return
		case s.stage == intake.StageKnown && r.connector.Weak() != "":
			r.step(s.name, selftest.StepWeak, s.detail, r.connector.Weak())
		case s.stage == intake.StageUnderstood && said != "":
			r.step(s.name, selftest.StepOK, said, "")
		default:
			r.step(s.name, selftest.StepOK, s.detail, "")
		}
	}
	if got.status != http.StatusOK || got.Accepted != 1 {
		r.step("answer", selftest.StepFailed, got.String(), "the sample was taken for no new event")
		return
	}
	r.step("answer", selftest.StepOK, got.String(), "")
}

// readAs says what a delivery means.
func readAs(d delivery.Delivery) string {
	e := d.Event
	text := fmt.Sprintf("read as %s of %s/%s:%s", e.Action, d.Host, e.Repository, e.Tag)
	switch {
	case d.Unresolved():
		text += ", digest to be looked up"
	default:
		text += "@" + e.Digest.Short()
	}
	if e.Actor != "" {
		text += " by " + e.Actor
	}
	return text
}

// repeat sends the sample again, as a registry does that had no answer.
func (r *attempt) repeat(ctx context.Context) {
	got, err := r.send(ctx, r.test.Request)
	switch {
	case err != nil:
		r.step("repeat", selftest.StepFailed, messageOf(err), "try again")
	case got.Duplicate == 1:
		r.step("repeat", selftest.StepOK, "the same again is a duplicate", "")
	case got.Accepted == 1:
		r.step("repeat", selftest.StepWeak, "the same again is another event", "this kind's notifications carry nothing by which a repeated one could be told from the next")
	default:
		r.step("repeat", selftest.StepFailed, got.String(), "the gateway's log says why")
	}
}

// look asks the registry what the sample's tag names: nothing, if the gateway
// may ask. Pushes are read back the same way before they are recorded.
func (r *attempt) look(ctx context.Context) {
	reader, configured, readBack := r.Registries(r.connector.Host)
	switch {
	case !configured:
		r.step("registry", selftest.StepFailed, string(r.connector.Host)+" is not among the registries of the gateway's configuration", "add it to registries: pushes are read back before they are recorded")
		return
	case !readBack:
		r.step("registry", selftest.StepSkipped, "read_back is off: digests are recorded as claimed", "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	_, err := reader.Resolve(ctx, r.push.Repository, r.push.Tag)
	if err != nil && provenance.CodeOf(err) != provenance.NotFound {
		r.step("registry", selftest.StepFailed, messageOf(err), "events would wait in the queue: see the registry's entry in the gateway's configuration (username, password_file, token_host, ca_file, allow_private), and whether the repository exists")
		return
	}
	r.step("registry", selftest.StepOK, string(r.connector.Host)+" can be read", "")
}

// sent is what the hook said to a sample.
type sent struct {
	status              int
	body                string
	Accepted, Duplicate int
}

func (s sent) String() string { return fmt.Sprintf("%d %s", s.status, s.body) }

func (r *attempt) send(ctx context.Context, request func(context.Context, string, provenance.Event) (*http.Request, error)) (sent, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	req, err := request(ctx, r.Hooks, r.push)
	if err != nil {
		return sent{}, err
	}
	response, err := r.Client.Do(req)
	if err != nil {
		var withAddress *url.Error // the address of some kinds holds the secret
		if errors.As(err, &withAddress) {
			err = withAddress.Err
		}
		return sent{}, provenance.Errorf(provenance.Unavailable, "the hook at %s does not answer: %v", r.Hooks, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return sent{}, provenance.Errorf(provenance.Unavailable, "the hook's answer was cut off: %v", err)
	}
	out := sent{status: response.StatusCode, body: strings.TrimSpace(string(body))}
	if out.status == http.StatusOK {
		if err := json.Unmarshal(body, &out); err != nil {
			return sent{}, provenance.Wrap(provenance.Internal, err, "the hook's answer")
		}
	}
	return out, nil
}

// messageOf is an error as the API's callers may read it.
func messageOf(err error) string {
	var coded *provenance.Error
	if errors.As(err, &coded) && coded.Code == provenance.Internal {
		return "the gateway failed; its log has the details"
	}
	return err.Error()
}
