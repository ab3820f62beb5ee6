package embedded

import (
	"crypto/subtle"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// admission lets in everybody, or the one user configured, and then allows
// every topic.
type admission struct {
	mochi.HookBase
	user, password string
}

func (*admission) ID() string { return "admission" }

func (*admission) Provides(hook byte) bool {
	return hook == mochi.OnConnectAuthenticate || hook == mochi.OnACLCheck
}

func (a *admission) OnConnectAuthenticate(_ *mochi.Client, pk packets.Packet) bool {
	if a.user == "" && a.password == "" {
		return true
	}
	user := subtle.ConstantTimeCompare(pk.Connect.Username, []byte(a.user))
	password := subtle.ConstantTimeCompare(pk.Connect.Password, []byte(a.password))
	return user&password == 1
}

func (*admission) OnACLCheck(*mochi.Client, string, bool) bool { return true }
