//! Query parameters of lists: filters, and which page.

use axum::extract;
use http::Uri;
use serde::Serialize;
use serde_json::Value;

use super::cursor::{self, Direction, Position};
use super::fields::Problems;
use crate::problem::Problem;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 250;
/// How far `page` reaches. Every row in front of a numbered page is read for it; a cursor has no such cost.
const PAGED_ROWS_MAX: usize = 10_000;

/// The parameters that say which page, accepted by every list.
const PAGING: &[&str] = &["limit", "cursor", "page"];

/// The query parameters of a request.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    problems: Problems,
}

impl Query {
    /// Reads the query of `uri`; `filters` are the parameters that it may have beside those for paging.
    pub(crate) fn read(uri: &Uri, filters: &[&str]) -> Result<Self, Problem> {
        Query::read_known(uri, &[filters, PAGING].concat())
    }

    /// Reads the query of `uri` where there is no list: `parameters` are all that it may have.
    pub(crate) fn read_alone(uri: &Uri, parameters: &[&str]) -> Result<Self, Problem> {
        Query::read_known(uri, parameters)
    }

    fn read_known(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let extract::Query(pairs): extract::Query<Vec<(String, String)>> = extract::Query::try_from_uri(uri)
            .map_err(|error| Problem::bad_request(format!("the query cannot be read: {error}")))?;
        let problems = Problems::default();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                problems.add(name, format!("unknown parameter; known are {known}"));
            } else if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                problems.add(name, "must be given once");
            }
        }
        Ok(Query { pairs, problems })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// A parameter, read by `parse`; `problem` says what it must be.
    pub(crate) fn parsed<T>(&self, name: &str, problem: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(text);
        if value.is_none() {
            self.problems.add_given(name, problem, &Value::String(text.to_owned()));
        }
        value
    }

    /// Notes a problem with a parameter and shows what was given.
    pub(crate) fn refuse(&self, name: &str, problem: &str) {
        let given = self.text(name).map_or(Value::Null, |text| Value::String(text.to_owned()));
        self.problems.add_given(name, problem, &given);
    }

    /// Notes that a parameter has to be there. One that is there and cannot be read has been noted already.
    pub(crate) fn missing(&self, name: &str) {
        if self.text(name).is_none() {
            self.problems.add(name, "is missing");
        }
    }

    /// The end of reading where there is no list.
    ///
    /// # Errors
    /// 422 with everything that is wrong with the query.
    pub(crate) fn end(self) -> Result<(), Problem> {
        self.problems.into_result()
    }

    /// Which page, after everything else was read.
    ///
    /// # Errors
    /// 422 with everything that is wrong with the query, 400 for a bad cursor.
    pub(crate) fn finish<P: Position>(self) -> Result<Paging<P>, Problem> {
        let number = |max: usize| move |text: &str| text.parse().ok().filter(|number| (1..=max).contains(number));
        let limit_problem = format!("must be a whole number from 1 to {LIMIT_MAX}");
        let limit = self.parsed("limit", &limit_problem, number(LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
        let pages_max = PAGED_ROWS_MAX / limit;
        let page_problem =
            format!("must be a whole number from 1 to {pages_max} with this limit; a cursor reaches further");
        let page = self.parsed("page", &page_problem, number(pages_max));
        if page.is_some() && self.text("cursor").is_some() {
            self.problems.add("page", "give either page or cursor");
        }
        let cursor = self.text("cursor").map(cursor::decode).transpose();
        self.problems.into_result()?;
        Ok(Paging { limit, skip: (page.unwrap_or(1) - 1) * limit, cursor: cursor? })
    }
}

/// Which part of a list to show.
pub(crate) struct Paging<P> {
    limit: usize,
    skip: usize,
    cursor: Option<(P, Direction)>,
}

/// One page.
#[derive(Serialize)]
pub(crate) struct List<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A list that is short enough for one page.
    pub(crate) fn whole(data: Vec<T>) -> Self {
        List { data, next_cursor: None }
    }
}

/// One page of a list that can be read backwards too.
#[derive(Serialize)]
pub(crate) struct ListBothWays<T> {
    #[serde(flatten)]
    list: List<T>,
    prev_cursor: Option<String>,
}

impl<P: Position> Paging<P> {
    /// Behind which id the list continues.
    pub(crate) fn after(&self) -> Option<P> {
        self.cursor.filter(|(_, direction)| *direction == Direction::Next).map(|(id, _)| id)
    }

    /// In front of which id the page ends. Its rows are to be asked for from there on, backwards.
    pub(crate) fn back_from(&self) -> Option<P> {
        self.cursor.filter(|(_, direction)| *direction == Direction::Previous).map(|(id, _)| id)
    }

    /// How many rows to ask the store for: one more than is shown tells whether there is a next page.
    pub(crate) fn rows(&self) -> usize {
        self.skip + self.limit + 1
    }

    /// The page, from the rows that the store gave.
    pub(crate) fn list<R, T>(&self, mut rows: Vec<R>, id: impl Fn(&R) -> P, show: impl FnMut(R) -> T) -> List<T> {
        let end = self.skip + self.limit;
        let next_cursor = (rows.len() > end).then(|| cursor::encode(id(&rows[end - 1]), Direction::Next));
        rows.truncate(end);
        List { data: rows.into_iter().skip(self.skip).map(show).collect(), next_cursor }
    }

    /// The same for a list that can be read backwards too. Rows that were asked for backwards come in that order.
    pub(crate) fn list_both_ways<R, T>(
        &self,
        mut rows: Vec<R>,
        id: impl Fn(&R) -> P,
        show: impl FnMut(R) -> T,
    ) -> ListBothWays<T> {
        if self.back_from().is_none() {
            // Whoever came here by a cursor or a number came past something.
            let has_previous = self.skip > 0 || self.cursor.is_some();
            let first = rows.get(self.skip).map(&id).filter(|_| has_previous);
            let prev_cursor = first.map(|id| cursor::encode(id, Direction::Previous));
            return ListBothWays { list: self.list(rows, id, show), prev_cursor };
        }
        let has_previous = rows.len() > self.limit;
        rows.truncate(self.limit);
        rows.reverse();
        let prev_cursor = rows.first().filter(|_| has_previous).map(|row| cursor::encode(id(row), Direction::Previous));
        // There is a next page: the one that this one lies in front of.
        let next_cursor = rows.last().map(|row| cursor::encode(id(row), Direction::Next));
        ListBothWays { list: List { data: rows.into_iter().map(show).collect(), next_cursor }, prev_cursor }
    }
}
