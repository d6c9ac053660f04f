package intake

// KindGitLab is the kind of connector that reads the notifications of the
// container registry of a self-managed GitLab. The registry is a fork of CNCF
// distribution and sends its envelopes, with two additions that change nothing
// here: actor.user_type, and the action "rename" with target.rename, which is
// kept as an unknown event of the repository. actor.user is a token of the
// person and is never read.
const KindGitLab = "gitlab"
