-- What every run pays for and nothing needs. A task is written by a statement that joins its run, and runs are never
-- deleted: the foreign key looked each of them up again, row by row, for an eighth of the ledger's whole cost.
ALTER TABLE martlet.tasks DROP CONSTRAINT tasks_run_id_fkey;
-- Nobody asks for the event of a run here: the run itself has it.
DROP INDEX martlet.events_by_run;
