-- Run once, when the volume is new: the ledger's database is made by the image, MLflow's here.
CREATE DATABASE mlflow;
