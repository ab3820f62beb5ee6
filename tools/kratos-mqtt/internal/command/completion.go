package command

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
)

// completionTime bounds the time for which a shell waits.
const completionTime = 2 * time.Second

// harmless matches names that a shell takes as one word: ids of letters at a broker, topics
// and operations come from others. None begins like a flag or a comment.
var harmless = regexp.MustCompile(`^[A-Za-z0-9/_.:{+][A-Za-z0-9/_.:{}+#-]{0,255}$`)

// choice is a completion with its description, or "" if the name is not a word for a shell.
func choice(name, description string) string {
	if !harmless.MatchString(name) || strings.Contains(name, "..") { // {1..9} is many words
		return ""
	}
	return cobra.CompletionWithDesc(name, short(printable(description), 60))
}

// completeArgs returns a function that completes arguments.
func (s *session) completeArgs(most int, list func(context.Context) []string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return s.complete(c, list)
	}
}

// completeFlag has the value of a flag completed.
func (s *session) completeFlag(c *cobra.Command, name string, list func(context.Context) []string) {
	_ = c.RegisterFlagCompletionFunc(name, // an error means that there is no such flag, which TestTranscripts finds
		func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return s.complete(c, list)
		})
}

func (*session) complete(c *cobra.Command, list func(context.Context) []string) (choices []string, _ cobra.ShellCompDirective) {
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	for _, text := range list(ctx) {
		if text != "" {
			choices = append(choices, text)
		}
	}
	return choices, cobra.ShellCompDirectiveNoFileComp
}

// asked returns the operator for a completion; false if there is none.
func (s *session) asked() (operatorv1.OperatorServiceClient, bool) {
	s.Err = io.Discard // a shell would show a warning within its line
	at, err := s.service()
	if err != nil {
		return nil, false
	}
	return at.Operator, true
}

func (s *session) letterChoices(ctx context.Context, state operatorv1.State) (choices []string) {
	ask, ok := s.asked()
	if !ok {
		return nil
	}
	page, _ := ask.ListLetters(ctx, &operatorv1.ListLettersRequest{State: state, Limit: 50})
	for _, l := range page.GetLetters() {
		choices = append(choices, choice(l.GetId(), l.GetTopic()+": "+l.GetReason()))
	}
	return choices
}

func (s *session) groupChoices(ctx context.Context, state operatorv1.State) (choices []string) {
	ask, ok := s.asked()
	if !ok {
		return nil
	}
	reply, _ := ask.ListGroups(ctx, &operatorv1.ListGroupsRequest{State: state})
	for _, g := range reply.GetGroups() {
		choices = append(choices, choice(g.GetFingerprint(), fmt.Sprintf("%d: %s", g.GetCount(), g.GetPattern())))
	}
	return choices
}

func (s *session) operationChoices(ctx context.Context) (choices []string) {
	ask, ok := s.asked()
	if !ok {
		return nil
	}
	for _, name := range operationsOf(ctx, ask) {
		choices = append(choices, choice(name, ""))
	}
	return choices
}

// subscriptionChoices completes the names of subscriptions, all or those that are stopped.
func (s *session) subscriptionChoices(stopped bool) func(context.Context) []string {
	return func(ctx context.Context) (choices []string) {
		ask, ok := s.asked()
		if !ok {
			return nil
		}
		reply, _ := ask.ListSubscriptions(ctx, &operatorv1.ListSubscriptionsRequest{Stopped: stopped})
		for _, each := range reply.GetSubscriptions() {
			choices = append(choices, choice(each.GetName(), stateOf(each)))
		}
		return choices
	}
}

// entryChoices completes the numbers of the entries of an outbox.
func (s *session) entryChoices(list entryList) func(context.Context) []string {
	return func(ctx context.Context) (choices []string) {
		ask, ok := s.asked()
		if !ok {
			return nil
		}
		page, _ := list(ask, ctx, &operatorv1.ListEntriesRequest{Limit: 50})
		for _, e := range page.GetEntries() {
			choices = append(choices, choice(strconv.FormatUint(e.GetSeq(), 10), e.GetTopic()+": "+e.GetReason()))
		}
		return choices
	}
}

// retainedChoices completes the topics of retained messages.
func (s *session) retainedChoices(ctx context.Context) (choices []string) {
	ask, ok := s.asked()
	if !ok {
		return nil
	}
	page, _ := ask.ListRetained(ctx, &operatorv1.ListRetainedRequest{Limit: 50})
	for _, m := range page.GetMessages() {
		choices = append(choices, choice(m.GetTopic(), m.GetText()))
	}
	return choices
}
