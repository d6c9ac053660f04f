package hosts_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/waybill-dev/waybill/test/chaos/check"
	"github.com/waybill-dev/waybill/test/lab"
)

// notYet is the exit code of what is recorded, and more is needed.
const notYet = 12

// act runs the command line and wants an exit code.
func (c *consortium) act(m *member, want int, args ...string) error {
	out, err := c.waybill(m, args...)
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return err
	}
	if code != want {
		return fmt.Errorf("%s$ waybill %s: exit %d, want %d: %s", m.Name, strings.Join(args, " "), code, want, out)
	}
	return nil
}

// until runs the command line until it exits so.
func (c *consortium) until(m *member, want int, args ...string) error {
	return lab.Poll(c.t.Context(), 45*time.Second, func() error { return c.act(m, want, args...) })
}

// rules has the members vote for a policy: the first proposes it, the others read it on the ledger.
func (c *consortium) rules(name, text string) error {
	first := c.members[0]
	if err := first.Write("policy.yaml", text); err != nil {
		return err
	}
	if err := c.until(first, 0, "policy", "propose", "-f", "/srv/policy.yaml", "--as", first.Name+"/admin"); err != nil {
		return err
	}
	for _, m := range c.members[1 : len(c.members)/2+1] {
		if err := lab.Poll(c.t.Context(), 30*time.Second, func() error {
			out, err := c.waybill(m, "proposal", "list", "--status", "open", "--as", m.Name+"/admin", "-o", "json")
			if err != nil {
				return err
			}
			var list struct {
				Proposals []struct{ ID, Kind, Name string }
			}
			if err := json.Unmarshal([]byte(out), &list); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			for _, p := range list.Proposals {
				if p.Name == name {
					return c.act(m, 0, "proposal", "vote", p.ID, "yes", "--as", m.Name+"/admin")
				}
			}
			return fmt.Errorf("%s sees no proposal of %s: %s", m.Name, name, out)
		}); err != nil {
			return err
		}
	}
	return nil
}

const productionPolicy = `apiVersion: waybill.dev/v1
kind: ReleasePolicy
metadata: {name: team}
spec:
  match: ["%s/team/**"]
  stages:
    - name: production
      approvals: {min: 2}
`

// push pushes a new image from a member's host to the registry there.
func (c *consortium) push(m *member, image string) error {
	script := fmt.Sprintf("mkdir -p layer && echo %s > layer/version && tar -C layer -cf layer.tar . && crane append --insecure --oci-empty-base -f layer.tar -t %s && crane digest --insecure %s", image, image, image)
	out, err := m.Run(c.t.Context(), "sh", "-c", script)
	if err != nil {
		return err
	}
	lines := strings.Fields(out)
	digest := lines[len(lines)-1]
	host, rest, _ := strings.Cut(image, "/")
	repository, tag, _ := strings.Cut(rest, ":")
	c.pushed = append(c.pushed, check.Claim{ID: digest, Key: check.Key("push", host, repository, tag, digest)})
	return nil
}

// job is the main job: an image that one organisation pushes to its registry becomes a release that two others
// approved, and whoever is asked at another says so.
func (c *consortium) job(tag string) error {
	owner, second, third, last := c.members[0], c.members[1], c.members[2], c.members[len(c.members)-1]
	image := owner.registry() + "/team/app:" + tag
	if err := c.push(owner, image); err != nil {
		return err
	}
	digest := c.pushed[len(c.pushed)-1].ID
	pinned := strings.TrimSuffix(image, ":"+tag) + "@" + digest
	began := time.Now()
	as := func(m *member, person string) string { return m.Name + "/" + person }
	steps := []struct {
		m    *member
		want int
		args []string
	}{
		{last, 0, []string{"status", pinned, "--as", as(last, "auditor")}},
		{owner, notYet, []string{"promote", pinned, "--to", "production", "--as", as(owner, "release-manager")}},
		{last, notYet, []string{"verify", image, "--stage", "production", "--as", as(last, "auditor")}},
		{second, notYet, []string{"approve", pinned, "--to", "production", "--as", as(second, "release-manager")}},
		{third, 0, []string{"approve", pinned, "--to", "production", "--as", as(third, "release-manager")}},
		{last, 0, []string{"verify", image, "--stage", "production", "--as", as(last, "auditor")}},
	}
	for _, s := range steps {
		if err := c.until(s.m, s.want, s.args...); err != nil {
			return err
		}
	}
	c.bed.Say("%s, pushed to the registry of %s, is a release %.1fs later: promoted by %s, approved by %s and %s, verified by %s", image, owner.Name, time.Since(began).Seconds(), owner.Name, second.Name, third.Name, last.Name)
	return nil
}
