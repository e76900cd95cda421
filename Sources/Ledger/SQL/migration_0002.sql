-- What every run pays for and nothing needs.
-- In the order in which accepting events and applying results take these tables. A dispatch that is caught in between
-- is a deadlock, which PostgreSQL ends and the scheduler repeats.
LOCK TABLE martlet.events, martlet.runs, martlet.tasks IN ACCESS EXCLUSIVE MODE;
-- A task is written by a statement that joins its run, and runs are never deleted: the foreign key looked each of them
-- up again, row by row, for an eighth of the ledger's whole cost.
ALTER TABLE martlet.tasks DROP CONSTRAINT tasks_run_id_fkey;
COMMENT ON TABLE martlet.tasks IS 'Stages of runs. No foreign key: whoever deletes runs deletes their tasks first.';
-- Nobody asks for the event of a run here: the run itself has it.
DROP INDEX martlet.events_by_run;
