//! HTTP edge of Kapsel: ingest, management and health routes.
