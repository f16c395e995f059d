-- Steps that were cut off are asked about beside what people are asked to allow. Runs that may go on, also those that
-- were paused or failed meanwhile, may have asked before there was a place for that here.
ALTER TABLE questions ADD COLUMN about TEXT NOT NULL DEFAULT 'approval';
INSERT INTO questions (run_id, question_id, about, path, digest, state, "user", allowed_by, asked_at, expires_at, body)
SELECT asked.run_id, json_extract(asked.body, '$.question_id'), 'in_doubt', json_extract(asked.body, '$.path'), '',
       'pending', runs."user", '[]', asked.at, NULL, asked.body
  FROM runs JOIN facts AS asked ON asked.run_id = runs.run_id
 WHERE runs.status NOT IN ('completed', 'blocked', 'cancelled') AND asked.kind = 'question.asked'
   AND json_extract(asked.body, '$.about') = 'in_doubt'
   AND NOT EXISTS (SELECT 1 FROM facts AS answered
                    WHERE answered.run_id = asked.run_id AND answered.kind = 'question.answered'
                      AND json_extract(answered.body, '$.question_id') = json_extract(asked.body, '$.question_id'));
