Feature: Two clients at two control machines want the last one
  Scenario Outline: The last <what>
    Given a cluster of three machines
    When two clients at two machines ask for the last <what> at once, again and again
    Then exactly one of them gets it each time
    And usage and quota agree with what is there

    Examples:
      | what        |
      | address     |
      | quota unit  |
      | memory      |
      | free volume |
