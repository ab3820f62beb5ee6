package client

import (
	"errors"
	"fmt"
	"math"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/identity"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// anyReplica is the template of the client id where none is configured: replicas with one
// configuration get different ids, which no restart finds again.
const anyReplica = "{service:kratos}-{random}"

// unnamedService stands for the name of the service until it is known.
const unnamedService = "service"

// lastingIDs are what to write where a session is to be kept for one replica.
const lastingIDs = `"{service}-{ordinal}" in a StatefulSet, or "{service}-{hostname}" on hosts that keep their names`

// naming is how a client and the groups of its subscriptions are named. The name of the
// service may become known at Start only: see [Client.NameService].
type naming struct {
	replica  identity.Replica
	template string // of the client id
	unnamed  error  // a template needs the name of the service, which is not known; else nil
}

// identify resolves the client id, which is a template, and reports every problem of it. The
// id is empty if each run has another one. asked is set if the settings want the session to be kept,
// and clean if they do not.
func (n *naming) identify(asked, clean bool) (clientID string, err error) {
	id, err := n.replica.Expand(n.template, identity.ForClientID())
	if isUnnamed(err) {
		n.unnamed = connectionError("client_id", "%w", err)
		id, err = n.standIn().Expand(n.template, identity.ForClientID())
	}
	if err == nil {
		err = checkText(id.Text, math.MaxUint16-suffixes)
	}
	if err != nil {
		return "", connectionError("client_id", "%w", err)
	}
	if err = n.checkSession(id, asked, clean); id.Random {
		id.Text = ""
	}
	return id.Text, err
}

// isUnnamed reports whether only the name of the service is missing.
func isUnnamed(err error) bool {
	m, ok := errors.AsType[*identity.MissingError](err)
	return ok && m.Placeholder == identity.Service
}

func connectionError(key, format string, args ...any) error {
	return event.NewSettingError("Connection", key, format, args...)
}

// standIn returns the replica with a name of the service.
func (n *naming) standIn() identity.Replica {
	r := n.replica
	r.Service = unnamedService
	return r
}

// checkSession refuses a session that is to be kept under an id that is another one after a
// restart, or the same in all replicas, which would take it from each other.
func (n *naming) checkSession(id identity.Name, asked, clean bool) error {
	switch {
	case id.Random && asked && n.template == anyReplica:
		return connectionError("clean_session", "is false, but there is no client id: each start would leave a session at the broker that is never used again; want a client_id, such as %s", lastingIDs)
	case id.Random && asked:
		return connectionError("client_id", "is another one after each start because of {random}, but clean_session: false keeps its session: want %s", lastingIDs)
	case id.Random || clean || !id.Template || id.Distinct:
		return nil
	case id.Default == "":
		return connectionError("client_id", "is the same in every replica, and the broker keeps one session for it, which replicas would take from each other: want %s; {service}-{ordinal:0} also works where there is only one replica", lastingIDs)
	case n.replica.InKubernetes():
		return connectionError("client_id", "has the default of {%s}, because the pod %.63q has none: pods of a Deployment would take the session from each other, also during an update; want a StatefulSet, %s in the environment, or {random} in a client_id without a session to keep",
			id.Default, logsafe.Clip(n.replica.Hostname), identity.OrdinalVariable)
	}
	return nil
}

// runID returns the client id of a run where each has another one.
func (n *naming) runID() string {
	id, err := n.replica.Expand(n.template, identity.ForClientID())
	if err != nil { // only the name of the service can be missing
		id, _ = n.standIn().Expand(n.template, identity.ForClientID())
	}
	return id.Text
}

// unnamed returns the problem of a template that needs the name of the service, which is not
// known, or nil.
func (t *subscriptions) unnamed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.cfg.naming.unnamed; err != nil {
		return configError(err)
	}
	return nil
}

// regroup names the groups of all subscriptions again. The lock is held.
func (t *subscriptions) regroup() error {
	var all []*Subscription
	for s := range t.subs {
		if s.template != "" {
			all = append(all, s)
		}
	}
	for _, s := range all {
		t.takeOut(s)
		err := t.nameGroup(s)
		if err == nil {
			err = t.register(s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// nameGroup replaces the placeholders in the group of a shared subscription.
func (t *subscriptions) nameGroup(s *Subscription) error {
	if s.template == "" {
		if group, _, _, err := topic.ParseShared(s.Filter); err != nil || !identity.IsTemplate(group) {
			return nil //nolint:nilerr // a filter that is not valid is reported where it is checked
		}
		s.template = s.Filter
	}
	group, inner, _, _ := topic.ParseShared(s.template)
	n := &t.cfg.naming
	name, err := n.replica.Expand(group, identity.ForGroup())
	if isUnnamed(err) {
		n.unnamed = subscribeError(s.template, err)
		name, err = n.standIn().Expand(group, identity.ForGroup())
	}
	if err != nil {
		return subscribeError(s.template, err)
	}
	if s.Filter, err = topic.Share(name.Text, inner); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.template, Reason: event.ReasonBadTopic, Cause: err}
	}
	return nil
}

func subscribeError(filter string, cause error) error {
	return &event.Error{Op: "subscribe", Topic: filter, Reason: event.ReasonBadRequest, Cause: fmt.Errorf("group %w", cause)}
}
