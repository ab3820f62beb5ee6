package remote

import (
	"cmp"
	"context"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

var _ operatorv1.OperatorServiceServer = (*Server)(nil)

// ListGroups implements the service.
func (s *Server) ListGroups(ctx context.Context, r *operatorv1.ListGroupsRequest) (*operatorv1.ListGroupsReply, error) {
	page, err := s.operator.Groups(ctx, operator.Query{Criteria: criteriaOf(r.GetCriteria()), State: stateOf(r.GetState()), Cursor: operator.Cursor(r.GetCursor())})
	if err != nil {
		return nil, statusOf(err)
	}
	reply := &operatorv1.ListGroupsReply{Next: string(page.Next), Incomplete: page.Incomplete}
	for i := range page.Groups {
		reply.Groups = append(reply.Groups, groupOf(&page.Groups[i]))
	}
	return reply, nil
}

// ListLetters implements the service.
func (s *Server) ListLetters(ctx context.Context, r *operatorv1.ListLettersRequest) (*operatorv1.ListLettersReply, error) {
	page, err := s.operator.List(ctx, operator.Query{
		Criteria: criteriaOf(r.GetCriteria()), State: stateOf(r.GetState()), Cursor: operator.Cursor(r.GetCursor()), Limit: int(r.GetLimit()), Bytes: r.GetBytes(),
	})
	if err != nil {
		return nil, statusOf(err)
	}
	reply := &operatorv1.ListLettersReply{Next: string(page.Next), Incomplete: page.Incomplete}
	for _, l := range page.Letters {
		reply.Letters = append(reply.Letters, letterOf(l))
	}
	return reply, nil
}

// GetLetter implements the service.
func (s *Server) GetLetter(ctx context.Context, r *operatorv1.GetLetterRequest) (*operatorv1.GetLetterReply, error) {
	shown, err := s.operator.Show(ctx, r.GetId())
	if err != nil {
		return nil, statusOf(err)
	}
	reply := &operatorv1.GetLetterReply{
		Letter: letterOf(shown.Letter), Payload: shown.Letter.Payload, Decoder: shown.Decoder, Text: text(shown.Text), Note: text(shown.Note),
		Pattern: text(shown.Pattern), Headers: headersOf(shown.Letter.Headers),
	}
	return reply, nil
}

// bulk is one of the operations on many letters.
type bulk func(context.Context, operator.Bulk) (operator.Outcome, error)

func act(ctx context.Context, f bulk, r *operatorv1.ActOnLettersRequest) (*operatorv1.Outcome, error) {
	within, ctx, cancel := timeOf(ctx, r.GetWithin().AsDuration())
	defer cancel()
	out, err := f(ctx, operator.Bulk{
		IDs: r.GetIds(), Criteria: criteriaOf(r.GetCriteria()), All: r.GetAll(), Confirmed: r.GetConfirmed(), DryRun: r.GetDryRun(),
		Limit: int(r.GetLimit()), Rate: r.GetRate(), Within: within, Cursor: operator.Cursor(r.GetCursor()), By: r.GetBy(),
	})
	return outcomeOf(out, err)
}

// ReplayLetters implements the service.
func (s *Server) ReplayLetters(ctx context.Context, r *operatorv1.ActOnLettersRequest) (*operatorv1.Outcome, error) {
	return act(ctx, s.operator.Replay, r)
}

// DeleteLetters implements the service.
func (s *Server) DeleteLetters(ctx context.Context, r *operatorv1.ActOnLettersRequest) (*operatorv1.Outcome, error) {
	return act(ctx, s.operator.Delete, r)
}

// ArchiveLetters implements the service.
func (s *Server) ArchiveLetters(ctx context.Context, r *operatorv1.ActOnLettersRequest) (*operatorv1.Outcome, error) {
	return act(ctx, s.operator.Archive, r)
}

// RetryParked implements the service.
func (s *Server) RetryParked(ctx context.Context, r *operatorv1.ActOnLettersRequest) (*operatorv1.Outcome, error) {
	return act(ctx, s.operator.RetryParked, r)
}

// DeleteParked implements the service.
func (s *Server) DeleteParked(ctx context.Context, r *operatorv1.ActOnLettersRequest) (*operatorv1.Outcome, error) {
	return act(ctx, s.operator.DeleteParked, r)
}

// DeadLetterParked implements the service.
func (s *Server) DeadLetterParked(ctx context.Context, r *operatorv1.ActOnLettersRequest) (*operatorv1.Outcome, error) {
	return act(ctx, s.operator.DeadLetterParked, r)
}

// ReplayEdited implements the service.
func (s *Server) ReplayEdited(ctx context.Context, r *operatorv1.ReplayEditedRequest) (*operatorv1.ReplayEditedReply, error) {
	err := s.operator.ReplayEdited(ctx, r.GetId(), operator.Edited{
		Payload: r.GetPayload(), Text: r.GetText(), ContentType: r.GetContentType(), Confirmed: r.GetConfirmed(), DryRun: r.GetDryRun(), By: r.GetBy(),
	})
	if err != nil {
		return nil, statusOf(err)
	}
	return &operatorv1.ReplayEditedReply{}, nil
}

// ListQuarantined implements the service.
func (s *Server) ListQuarantined(ctx context.Context, r *operatorv1.ListEntriesRequest) (*operatorv1.ListEntriesReply, error) {
	page, err := s.operator.Quarantined(ctx, entryQueryOf(r))
	if err != nil {
		return nil, statusOf(err)
	}
	reply := &operatorv1.ListEntriesReply{Next: string(page.Next)}
	for i := range page.Entries {
		q := &page.Entries[i]
		e := &operatorv1.Entry{Seq: q.Seq, Time: timeOut(q.Time), Reason: text(q.Reason), PayloadSize: int64(len(q.Raw))}
		reply.Entries = append(reply.Entries, describe(e, q.Entry))
	}
	return reply, nil
}

// ListWaiting implements the service.
func (s *Server) ListWaiting(ctx context.Context, r *operatorv1.ListEntriesRequest) (*operatorv1.ListEntriesReply, error) {
	page, err := s.operator.Waiting(ctx, entryQueryOf(r))
	if err != nil {
		return nil, statusOf(err)
	}
	reply := &operatorv1.ListEntriesReply{Next: string(page.Next)}
	for _, w := range page.Entries {
		e := &operatorv1.Entry{Seq: w.Seq, Time: timeOut(w.Accepted), Reason: text(w.Reason)}
		reply.Entries = append(reply.Entries, describe(e, w.Entry))
	}
	return reply, nil
}

// RetryQuarantined implements the service.
func (s *Server) RetryQuarantined(ctx context.Context, r *operatorv1.ActOnEntriesRequest) (*operatorv1.Outcome, error) {
	return actOnEntries(ctx, s.operator.RetryQuarantined, r)
}

// DeleteQuarantined implements the service.
func (s *Server) DeleteQuarantined(ctx context.Context, r *operatorv1.ActOnEntriesRequest) (*operatorv1.Outcome, error) {
	return actOnEntries(ctx, s.operator.DeleteQuarantined, r)
}

// RetryWaiting implements the service.
func (s *Server) RetryWaiting(ctx context.Context, r *operatorv1.ActOnEntriesRequest) (*operatorv1.Outcome, error) {
	return actOnEntries(ctx, s.operator.RetryWaiting, r)
}

// DeleteWaiting implements the service.
func (s *Server) DeleteWaiting(ctx context.Context, r *operatorv1.ActOnEntriesRequest) (*operatorv1.Outcome, error) {
	return actOnEntries(ctx, s.operator.DeleteWaiting, r)
}

func actOnEntries(
	ctx context.Context, f func(context.Context, operator.EntryBulk) (operator.Outcome, error), r *operatorv1.ActOnEntriesRequest,
) (*operatorv1.Outcome, error) {
	within, ctx, cancel := timeOf(ctx, r.GetWithin().AsDuration())
	defer cancel()
	return outcomeOf(f(ctx, operator.EntryBulk{
		Seqs: r.GetSeqs(), Criteria: entryCriteriaOf(r.GetCriteria()), All: r.GetAll(), DryRun: r.GetDryRun(), Limit: int(r.GetLimit()),
		Rate: r.GetRate(), Within: within, Cursor: operator.Cursor(r.GetCursor()), By: r.GetBy(),
	}))
}

// ListRetained implements the service.
func (s *Server) ListRetained(ctx context.Context, r *operatorv1.ListRetainedRequest) (*operatorv1.ListRetainedReply, error) {
	within, ctx, cancel := timeOf(ctx, r.GetWithin().AsDuration())
	defer cancel()
	page, err := s.operator.Retained(ctx, event.RetainedQuery{
		Filters: []string{cmp.Or(r.GetFilter(), "#")}, After: r.GetCursor(), Limit: int(r.GetLimit()), Bytes: r.GetBytes(),
		Within: min(within, cmp.Or(r.GetWithin().AsDuration(), event.DefaultRetainedWithin)),
	})
	if err != nil {
		return nil, statusOf(err)
	}
	reply := &operatorv1.ListRetainedReply{Next: page.Next, Incomplete: page.Incomplete}
	for i := range page.Messages {
		reply.Messages = append(reply.Messages, retainedOf(&page.Messages[i]))
	}
	return reply, nil
}

// ClearRetained implements the service.
func (s *Server) ClearRetained(ctx context.Context, r *operatorv1.ClearRetainedRequest) (*operatorv1.Outcome, error) {
	_, ctx, cancel := timeOf(ctx, 0)
	defer cancel()
	out, err := s.operator.ClearRetained(ctx, operator.RetainedClear{Topics: r.GetTopics(), DryRun: r.GetDryRun(), By: r.GetBy()})
	return outcomeOf(out, err)
}

// GetHealth implements the service.
func (s *Server) GetHealth(context.Context, *operatorv1.GetHealthRequest) (*operatorv1.GetHealthReply, error) {
	state, err := s.operator.Health()
	if err != nil {
		return nil, statusOf(err)
	}
	return Health(state), nil
}

// GetDescriptors implements the service.
func (s *Server) GetDescriptors(context.Context, *operatorv1.GetDescriptorsRequest) (*operatorv1.GetDescriptorsReply, error) {
	set, err := proto.MarshalOptions{Deterministic: true}.Marshal(s.operator.Descriptors())
	if err != nil {
		return nil, statusOf(err)
	}
	return &operatorv1.GetDescriptorsReply{DescriptorSet: set}, nil
}

// longest is the time of a call whose context has no deadline.
const longest = 20 * time.Second

// timeOf returns the time within which letters may be begun, and a context for them that leaves
// time for the reply: half and nine tenths of the time that is left.
func timeOf(ctx context.Context, asked time.Duration) (within time.Duration, work context.Context, cancel context.CancelFunc) {
	left := 2 * longest
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	within = max(left/2, time.Nanosecond)
	if asked > 0 {
		within = min(within, asked)
	}
	work, cancel = context.WithTimeout(ctx, left*9/10)
	return within, work, cancel
}

// outcomeOf returns the outcome of a call. An error behind a beginning is in the outcome, which
// the caller would not get otherwise.
func outcomeOf(out operator.Outcome, err error) (*operatorv1.Outcome, error) {
	if err != nil && out.Next == "" && out.Selected == 0 {
		return nil, statusOf(err)
	}
	reply := &operatorv1.Outcome{
		Selected: int64(out.Selected), Done: int64(out.Done), Failed: int64(out.Failed), Held: int64(out.Held),
		Next: string(out.Next), Incomplete: out.Incomplete,
	}
	if err != nil {
		reply.Error = text(err.Error())
	}
	for _, p := range out.Problems {
		reply.Problems = append(reply.Problems, &operatorv1.Problem{Id: text(p.ID), Seq: p.Seq, Topic: text(p.Topic), Key: text(p.Key), Error: text(p.Err.Error())})
	}
	return reply, nil
}

// statusOf returns the gRPC status of an error.
func statusOf(err error) error {
	code := codes.Unavailable
	switch {
	case errors.Is(err, operator.ErrBadRequest):
		code = codes.InvalidArgument
	case errors.Is(err, operator.ErrUnavailable):
		code = codes.Unimplemented
	case errors.Is(err, deadletter.ErrNotFound):
		code = codes.NotFound
	case errors.Is(err, deadletter.ErrParked), errors.Is(err, deadletter.ErrOmitted), errors.Is(err, deadletter.ErrDamaged),
		errors.Is(err, deadletter.ErrSuspect), errors.Is(err, deadletter.ErrUnfit), errors.Is(err, deadletter.ErrUnrouted):
		code = codes.FailedPrecondition
	case errors.Is(err, deadletter.ErrClaimed):
		code = codes.Aborted
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case event.ReasonOf(err) == event.ReasonBadRequest:
		code = codes.InvalidArgument
	}
	return status.Error(code, text(err.Error()))
}

// small returns a count as proto has it.
func small(n int) int32 { return int32(min(n, math.MaxInt32)) }
