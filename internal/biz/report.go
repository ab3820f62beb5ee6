package biz

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/uuid"
)

const (
	// ReportEvent is the type of a report about an event.
	ReportEvent = "event"
	// ReportUser is the type of a report about a user.
	ReportUser = "user"

	// StatusRejected is the status of a report not fit for processing.
	StatusRejected = 1

	// maxContent bounds the content of a report, in bytes.
	maxContent = 64 << 10

	reasonUnknownType = "unknown report type"
	reasonNotJSON     = "content is not JSON"
	handlingRecorded  = "recorded, not processed"
)

// Report is what an application hands in.
type Report struct {
	Type      string
	AppID     string
	AppKey    string
	EventName string
	Content   string
	// Debug asks for the decision to be logged.
	Debug bool
}

// EventReport is a valid report.
type EventReport struct {
	EventID    string
	EventName  string
	Data       string
	CreateTime time.Time
}

// StatusReport records a report that was taken but not fit for processing.
type StatusReport struct {
	EventID       string
	DataName      string
	ReportType    string
	Data          string
	ErrorReason   string
	ErrorHandling string
	Status        int32
	PartEvent     string
	PartDate      string
}

// Receipt says what was done with a report.
type Receipt struct {
	EventID string
	// Rejected is the reason why only a status was recorded, empty otherwise.
	Rejected string
}

// ReportPublisher sends reports on. Its methods return nil only once the
// message is accepted, and may be called at the same time.
type ReportPublisher interface {
	PublishEvent(context.Context, EventReport) error
	PublishStatus(context.Context, StatusReport) error
}

// ReportRepo keeps reports. All reports of a call are saved, or none. Saving an
// event id that is already there changes nothing and is no error. Lists are newest
// first and end with the cursor of the next page, 0 on the last. Methods may be
// called at the same time.
type ReportRepo interface {
	SaveEvents(context.Context, []EventReport) error
	SaveStatuses(context.Context, []StatusReport) error
	ListEvents(context.Context, Page) ([]EventReport, int64, error)
	ListStatuses(context.Context, Page) ([]StatusReport, int64, error)
}

// ReportUsecase takes, saves and lists reports. Safe for concurrent use.
type ReportUsecase struct {
	publisher ReportPublisher
	repo      ReportRepo
	log       *log.Helper
	newID     func() (uuid.UUID, error)
	now       func() time.Time
}

// NewReportUsecase returns the use case over a publisher and a repository.
func NewReportUsecase(publisher ReportPublisher, repo ReportRepo, logger log.Logger) *ReportUsecase {
	return &ReportUsecase{
		publisher: publisher,
		repo:      repo,
		log:       log.NewHelper(logger),
		newID:     uuid.NewV7,
		now:       time.Now,
	}
}

// Post validates r, gives it an identity and publishes it: as an event when it
// is fit for processing, else as a status with the reason. It returns once the
// message is accepted. An incomplete or oversized report is a Kratos 400 and
// is not recorded at all.
func (u *ReportUsecase) Post(ctx context.Context, r Report) (Receipt, error) {
	if err := r.validate(); err != nil {
		return Receipt{}, err
	}
	id, err := u.newID()
	if err != nil {
		return Receipt{}, fmt.Errorf("new event id: %w", err)
	}
	receipt := Receipt{EventID: id.String(), Rejected: r.rejection()}
	if r.Debug {
		u.log.WithContext(ctx).Infow("msg", "report decided", "event_id", receipt.EventID,
			"report_type", r.Type, "event_name", r.EventName, "rejected", receipt.Rejected)
	}
	if err := u.publish(ctx, r, receipt); err != nil {
		return Receipt{}, err
	}
	return receipt, nil
}

func (u *ReportUsecase) publish(ctx context.Context, r Report, receipt Receipt) error {
	now := u.now().UTC()
	if receipt.Rejected == "" {
		return u.publisher.PublishEvent(ctx, EventReport{
			EventID:    receipt.EventID,
			EventName:  r.EventName,
			Data:       r.Content,
			CreateTime: now,
		})
	}
	return u.publisher.PublishStatus(ctx, StatusReport{
		EventID:       receipt.EventID,
		DataName:      r.EventName,
		ReportType:    r.Type,
		Data:          r.Content,
		ErrorReason:   receipt.Rejected,
		ErrorHandling: handlingRecorded,
		Status:        StatusRejected,
		PartEvent:     r.EventName,
		PartDate:      now.Format(time.DateOnly),
	})
}

// SaveEvents stores each event once, however often it is delivered. One without an
// event id, which could not be told from its redelivery, or with a time that no
// listing could show, is refused with a Kratos 400 of its own: refused has an error
// for each event, nil for those that are stored, and is nil when all are. err is why
// none is stored.
func (u *ReportUsecase) SaveEvents(ctx context.Context, events []EventReport) (refused []error, err error) {
	return save(ctx, events, EventReport.validate, u.repo.SaveEvents)
}

// SaveStatuses stores each status once, however often it is delivered, under the
// rules of SaveEvents.
func (u *ReportUsecase) SaveStatuses(ctx context.Context, statuses []StatusReport) (refused []error, err error) {
	return save(ctx, statuses, StatusReport.validate, u.repo.SaveStatuses)
}

// ListEvents returns a page of stored events and the cursor of the next.
func (u *ReportUsecase) ListEvents(ctx context.Context, page Page) ([]EventReport, int64, error) {
	return u.repo.ListEvents(ctx, page)
}

// ListStatuses returns a page of stored statuses and the cursor of the next.
func (u *ReportUsecase) ListStatuses(ctx context.Context, page Page) ([]StatusReport, int64, error) {
	return u.repo.ListStatuses(ctx, page)
}

func (r Report) validate() error {
	v := violations{}
	v.requireName("report_type", r.Type)
	v.requireName("app_id", r.AppID)
	v.requireName("app_key", r.AppKey)
	v.requireName("event_name", r.EventName)
	v.limit("content", r.Content, maxContent)
	v.texts(map[string]string{"report_type": r.Type, "event_name": r.EventName, "content": r.Content})
	return v.err()
}

// rejection is why a complete report is recorded only, empty when it is fit.
func (r Report) rejection() string {
	switch {
	case r.Type != ReportEvent && r.Type != ReportUser:
		return reasonUnknownType
	case !json.Valid([]byte(r.Content)):
		return reasonNotJSON
	}
	return ""
}
